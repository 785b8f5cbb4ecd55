import { sendTwice } from '#test/support/port-shop.ts'
import { authPort } from './contract.ts'
import { connectAuth } from './http.ts'
import { authPortSuite } from './port.suite.ts'

authPortSuite('in process', async (shop) => shop.local(authPort))
authPortSuite('over HTTP', async (shop) => connectAuth(await shop.http()).port)
authPortSuite(
  'over HTTP, every call delivered twice',
  async (shop) => connectAuth(await shop.http(sendTwice)).port,
)
