import { documentSuite } from './document.suite.ts'

documentSuite('split')
