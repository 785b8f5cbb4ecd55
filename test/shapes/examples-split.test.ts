import { examplesSuite } from './examples.suite.ts'

examplesSuite('split')
