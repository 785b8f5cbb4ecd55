import { examplesSuite } from './examples.suite.ts'

examplesSuite('one process')
