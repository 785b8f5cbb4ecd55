import { documentSuite } from './document.suite.ts'

documentSuite('one process')
