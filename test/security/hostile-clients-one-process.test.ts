import { hostileClientsSuite } from './hostile-clients.suite.ts'

hostileClientsSuite('one process')
