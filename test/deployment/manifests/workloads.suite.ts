import { describe, expect, test } from 'vitest'
import { healthApi } from '#src/http/health-routes.ts'
import { registry } from '#src/registry.ts'

import {
  all,
  configOf,
  containersOf,
  environmentOf,
  hostedBy,
  type Labels,
  labelsOf,
  moduleNames,
  named,
  nameOf,
  namespace,
  overlays,
  podOf,
  programOf,
  renderings,
  selects,
  targetsOf,
  type Workload,
  workloadsOf,
} from './rendered.ts'

/** Returns the violations of the Pod Security Standard `restricted`, and writable root file systems. */
function securityViolations(workload: Workload): string[] {
  const { hostNetwork, hostPID, hostIPC, securityContext: pod = {}, volumes = [] } = podOf(workload)
  const faults: string[] = []
  const demand = (holds: boolean, fault: string) => {
    if (!holds) faults.push(fault)
  }
  demand(!hostNetwork && !hostPID && !hostIPC, 'shares namespaces with the node')
  demand((pod.sysctls ?? []).length === 0, 'sets kernel parameters')
  demand(pod.seLinuxOptions === undefined && pod.windowsOptions === undefined, 'chooses its SELinux label')
  const kinds = ['configMap', 'csi', 'downwardAPI', 'emptyDir', 'ephemeral', 'image']
  const allowed = ['name', 'persistentVolumeClaim', 'projected', 'secret', ...kinds]
  for (const volume of volumes) {
    const right = Object.keys(volume).every((key) => allowed.includes(key))
    demand(right, `volume ${volume.name} is on the node`)
  }
  for (const { name, ports = [], securityContext: own = {} } of containersOf(workload)) {
    const { seccompProfile = pod.seccompProfile, runAsUser = pod.runAsUser } = own
    demand(!own.privileged, `${name} is privileged`)
    demand(own.allowPrivilegeEscalation === false, `${name} may gain privileges`)
    demand(own.capabilities?.drop?.includes('ALL') ?? false, `${name} keeps capabilities`)
    demand((own.capabilities?.add ?? []).length === 0, `${name} adds capabilities`)
    demand((own.runAsNonRoot ?? pod.runAsNonRoot) === true, `${name} may be root`)
    demand(runAsUser !== undefined && runAsUser !== 0, `${name} is root`)
    demand(
      ['RuntimeDefault', 'Localhost'].includes(seccompProfile?.type ?? ''),
      `${name} may make any system call`,
    )
    demand(own.procMount === undefined || own.procMount === 'Default', `${name} sees all of /proc`)
    demand(own.seLinuxOptions === undefined, `${name} chooses its SELinux label`)
    demand(
      ports.every(({ hostPort }) => !hostPort),
      `${name} uses a port of the node`,
    )
    demand(own.readOnlyRootFilesystem === true, `${name} can write to its root file system`)
  }
  return faults
}

/** Deployments, StatefulSets and their pods. */
export function workloadSuite() {
  test('each overlay has a Deployment', () => {
    expect(overlays).toEqual(
      expect.arrayContaining(['local', 'monolith', 'production'].map((name) => `overlays/${name}`)),
    )
    for (const [name, manifests] of renderings) expect(all(manifests, 'Deployment'), name).not.toEqual([])
  })

  describe.each(renderings)('%s', (directory, manifests) => {
    const deployments = all(manifests, 'Deployment')
    const workloads = workloadsOf(manifests)
    const byName = <W extends Workload>(list: readonly W[]) =>
      list.map((one): [string, W] => [nameOf(one), one])

    test('the Deployments host every module', () => {
      expect(new Set(hostedBy(manifests, deployments).flat())).toEqual(new Set(moduleNames))
    })

    test('every object is in one namespace, which enforces the Pod Security Standard `restricted`', () => {
      const [own, ...others] = manifests.filter(({ kind }) => kind === 'Namespace')
      expect(others).toEqual([])
      expect(own?.metadata).toMatchObject({
        name: namespace,
        labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
      })
      const outside = manifests.filter(
        ({ kind, metadata }) => kind !== 'Namespace' && metadata.namespace !== namespace,
      )
      expect(outside.map(nameOf)).toEqual([])
    })

    test('every ConfigMap is used and has a content hash in its name, so that changed settings replace the pods', () => {
      const referred = workloads.flatMap((workload) => [
        ...containersOf(workload).flatMap(({ envFrom = [] }) =>
          envFrom.map(({ configMapRef }) => configMapRef?.name),
        ),
        ...(podOf(workload).volumes ?? []).flatMap(({ configMap }) => configMap?.name ?? []),
      ])
      const names = all(manifests, 'ConfigMap').map(({ metadata }) => metadata.name)
      expect(new Set(referred)).toEqual(new Set(names))
      for (const name of names) expect(name).toMatch(/-[a-z0-9]{10}$/)
    })

    describe.each(byName(deployments))('%s', (_, deployment) => {
      const { name } = deployment.metadata
      const labels = labelsOf(deployment)
      const container = programOf(deployment)
      const { port, managementPort } = configOf(manifests, deployment)

      test('the container names the ports on which the program listens', () => {
        expect(container.ports).toEqual([
          { name: 'http', containerPort: port },
          { name: 'management', containerPort: managementPort },
        ])
      })

      test('the annotations lead Prometheus to the metrics of each pod', () => {
        const { annotations } = deployment.spec?.template.metadata ?? {}
        expect(annotations).toEqual({
          'prometheus.io/scrape': 'true',
          'prometheus.io/path': '/metrics',
          'prometheus.io/port': String(managementPort),
        })
      })

      test('the liveness and startup probes call /healthz, the readiness probe calls /readyz, and a frozen process restarts within 36 s', () => {
        const { startupProbe, readinessProbe, livenessProbe } = container
        const probe = (path: string) => ({ httpGet: { path, port: 'management' } })
        expect(startupProbe).toMatchObject(probe(healthApi.checkLiveness.path))
        expect(readinessProbe).toMatchObject(probe(healthApi.checkReadiness.path))
        expect(livenessProbe).toMatchObject(probe(healthApi.checkLiveness.path))
        const failingSeconds = (livenessProbe?.periodSeconds ?? 0) * (livenessProbe?.failureThreshold ?? 0)
        expect(failingSeconds).toBeGreaterThanOrEqual(15)
        // A frozen process ignores SIGTERM, so the grace period passes as well.
        const { timeoutSeconds = 1, terminationGracePeriodSeconds } = livenessProbe ?? {}
        const restartedAfter =
          failingSeconds +
          timeoutSeconds +
          (terminationGracePeriodSeconds ?? podOf(deployment).terminationGracePeriodSeconds ?? 30)
        expect(restartedAfter).toBeLessThanOrEqual(36)
      })

      test('the container has resource requests and limits', () => {
        const amounts = { cpu: expect.any(String), memory: expect.any(String) }
        expect(container.resources).toMatchObject({ requests: amounts, limits: amounts })
      })

      test('the pods of one revision are spread over nodes and zones', () => {
        const constraints = podOf(deployment).topologySpreadConstraints ?? []
        expect(constraints.map(({ topologyKey }) => topologyKey)).toEqual([
          'kubernetes.io/hostname',
          'topology.kubernetes.io/zone',
        ])
        for (const { maxSkew, labelSelector, matchLabelKeys = [] } of constraints) {
          expect(maxSkew).toBe(1)
          expect(matchLabelKeys).toContain('pod-template-hash')
          const own = { ...labels, 'pod-template-hash': 'this' }
          const counted = deployments.filter((other) => {
            const theirs: Labels = { ...labelsOf(other), 'pod-template-hash': 'this' }
            const alike = matchLabelKeys.every((key) => theirs[key] === own[key as keyof typeof own])
            return alike && selects(labelSelector?.matchLabels, theirs)
          })
          expect(counted.map(nameOf)).toEqual([nameOf(deployment)])
        }
      })

      test('a rolling update stops no pod before its replacement is available', () => {
        expect(deployment.spec).toMatchObject({
          strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0 } },
        })
      })

      test('a disruption budget lets node drains evict one pod at a time', () => {
        const budgets = all(manifests, 'PodDisruptionBudget').filter(({ spec }) =>
          selects(spec?.selector?.matchLabels, labels),
        )
        expect(budgets).toEqual([
          expect.objectContaining({ spec: expect.objectContaining({ maxUnavailable: 1 }) }),
        ])
        const covered = deployments.filter((other) =>
          selects(budgets[0]?.spec?.selector?.matchLabels, labelsOf(other)),
        )
        expect(covered.map(nameOf)).toEqual([nameOf(deployment)])
      })

      test('only an autoscaler sets the number of pods, which is at least two', () => {
        const autoscalers = all(manifests, 'HorizontalPodAutoscaler').filter(
          ({ spec }) => spec?.scaleTargetRef.kind === 'Deployment' && spec.scaleTargetRef.name === name,
        )
        expect(autoscalers).toHaveLength(1)
        const { minReplicas = 1, maxReplicas = 0, metrics = [] } = autoscalers[0]?.spec ?? {}
        expect(minReplicas).toBeGreaterThanOrEqual(2)
        expect(maxReplicas).toBeGreaterThanOrEqual(minReplicas)
        expect(metrics).not.toEqual([])
        expect(deployment.spec).not.toHaveProperty('replicas')
      })

      test('a pod accepts requests for DRAIN_DELAY after its end begins, and drains within its grace period', () => {
        const { drain } = configOf(manifests, deployment)
        expect(drain.delayMs).toBeGreaterThanOrEqual(1_000)
        const graceSeconds = podOf(deployment).terminationGracePeriodSeconds ?? 0
        expect(graceSeconds * 1_000).toBeGreaterThan(drain.timeoutMs)
      })

      test('the selector selects only the pods of its own workload', () => {
        const selected = workloads.filter((other) =>
          selects(deployment.spec?.selector.matchLabels, labelsOf(other)),
        )
        expect(selected.map(nameOf)).toEqual([nameOf(deployment)])
      })

      test('the image has a fixed version in each overlay and none in base', () => {
        expect(container.image).toMatch(directory === 'base' ? /^trivet$/ : /^[\w./-]+:(?!latest$)[\w.-]+$/)
      })

      test('the environment is a valid configuration for production, with its own MongoDB user', () => {
        const config = configOf(manifests, deployment)
        expect(config).toMatchObject({ production: true, demo: false })
        const [, user] = config.mongodb.uri?.match(/^mongodb:\/\/([\w-]+):/) ?? []
        expect(user).toBe(name)
      })

      test('the URL of each remote module leads to Deployments that host it', () => {
        const { hosted, urls } = configOf(manifests, deployment)
        const needed = registry
          .filter((module) => hosted.includes(module.name))
          .flatMap((module) => Object.keys(module.needs))
          .filter((need) => !hosted.includes(need))
        for (const need of needed) {
          const { protocol, hostname, port } = new URL(urls[need] ?? '')
          expect(protocol).toBe('http:')
          const found = targetsOf(manifests, hostname, Number(port || 80))
          expect(found.deployments).not.toEqual([])
          for (const host of found.deployments) {
            const { hosted: theirs, port: listens } = configOf(manifests, host)
            expect(theirs).toContain(need)
            expect(found.ports).toEqual([listens])
          }
        }
      })
    })

    describe.each(byName(workloads))('%s', (_, workload) => {
      test('the pod keeps the Pod Security Standard `restricted` and a read-only root file system', () => {
        expect(securityViolations(workload)).toEqual([])
      })

      test('the pod has its own service account without a mounted token', () => {
        const { serviceAccountName = '', automountServiceAccountToken, enableServiceLinks } = podOf(workload)
        expect(serviceAccountName).toBe(workload.metadata.name)
        expect(named(manifests, 'ServiceAccount', serviceAccountName)).toMatchObject({
          automountServiceAccountToken: false,
        })
        expect(automountServiceAccountToken).toBe(false)
        expect(enableServiceLinks).toBe(false)
      })

      test('every container has resource requests and limits', () => {
        for (const { resources } of containersOf(workload)) {
          const amounts = { cpu: expect.any(String), memory: expect.any(String) }
          expect(resources).toMatchObject({ requests: amounts, limits: amounts })
        }
      })
    })

    test.each(all(manifests, 'StatefulSet'))(
      'the StatefulSet of MongoDB has the host names that its members and the services use',
      (statefulSet) => {
        const { replicas = 1, serviceName = '' } = statefulSet.spec ?? {}
        const service = named(manifests, 'Service', serviceName)
        expect(service.spec).toMatchObject({ clusterIP: 'None', publishNotReadyAddresses: true })
        expect(selects(service.spec?.selector, labelsOf(statefulSet))).toBe(true)
        const hosts = Array.from(
          { length: replicas },
          (_, at) => `${statefulSet.metadata.name}-${at}.${serviceName}:27017`,
        )
        const environments = containersOf(statefulSet).map((container) => environmentOf(manifests, container))
        expect(environments).toContainEqual(expect.objectContaining({ MEMBERS: hosts.join() }))
        for (const deployment of deployments) {
          expect(configOf(manifests, deployment).mongodb.uri).toContain(`@${hosts.join()}/`)
        }
        const ownName = podOf(statefulSet).initContainers?.find(({ name }) => name === 'own-name')
        expect(ownName?.command?.at(-1)).toContain(`"$HOSTNAME.${serviceName}"`)
        expect(ownName?.env).toContainEqual({
          name: 'POD_IP',
          valueFrom: { fieldRef: { fieldPath: 'status.podIP' } },
        })
      },
    )
  })
}
