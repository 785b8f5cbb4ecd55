// A setup file of vitest: prints the errors that the program logged during a test that failed, because an answer such as 500 does
// not say what went wrong.
import { afterEach } from 'vitest'
import { takeLoggedErrors } from './logged-errors.ts'

afterEach(({ task }) => {
  const errors = takeLoggedErrors()
  if (task.result?.state === 'fail' && errors.length > 0)
    console.error(`The program logged these errors during the test:\n${errors.join('\n')}`)
})
