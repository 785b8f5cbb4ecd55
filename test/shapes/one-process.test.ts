import { endToEndSuite } from './end-to-end.suite.ts'

endToEndSuite('one process')
