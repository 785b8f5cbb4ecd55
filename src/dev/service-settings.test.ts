import { afterEach, expect, it, vi } from 'vitest'
import { loadConfig } from '#kernel/config/load-config.ts'
import { registry } from '#src/registry.ts'
import { serviceEnvironment } from './service-settings.ts'

afterEach(() => {
  vi.unstubAllEnvs()
})

it('the services do not open the management port of the process that starts them', () => {
  vi.stubEnv('MANAGEMENT_PORT', '8081')
  const config = loadConfig({ MANAGEMENT_PORT: '8081' }, registry)
  const environment = serviceEnvironment(config, { mongodbUri: 'mongodb://127.0.0.1:1', urls: {} })
  expect(loadConfig({ ...environment, SERVICE: 'all' }, registry).managementPort).toBeUndefined()
})
