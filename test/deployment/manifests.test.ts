import { ingressSuite } from './manifests/ingress.suite.ts'
import { networkPolicySuite } from './manifests/network-policies.suite.ts'
import { schemaSuite } from './manifests/schemas.suite.ts'
import { secretSuite } from './manifests/secrets.suite.ts'
import { shapeSwitchSuite } from './manifests/shape-switch.suite.ts'
import { workloadSuite } from './manifests/workloads.suite.ts'

// One file runs all suites, so that the manifests are rendered once.
schemaSuite()
workloadSuite()
secretSuite()
ingressSuite()
networkPolicySuite()
shapeSwitchSuite()
