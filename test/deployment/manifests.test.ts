import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { IDeployment } from 'kubernetes-models/apps/v1/Deployment'
import type { IStatefulSet } from 'kubernetes-models/apps/v1/StatefulSet'
import type { IHorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler'
import type { IIngress } from 'kubernetes-models/networking.k8s.io/v1/Ingress'
import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy'
import type { INetworkPolicyPeer } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicyPeer'
import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap'
import type { IContainer } from 'kubernetes-models/v1/Container'
import type { ISecret } from 'kubernetes-models/v1/Secret'
import type { IService } from 'kubernetes-models/v1/Service'
import type { IServiceAccount } from 'kubernetes-models/v1/ServiceAccount'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { type Config, loadConfig } from '#kernel/config/load-config.ts'
import { operatorApi } from '#src/http/operator-routes.ts'
import { registry } from '#src/registry.ts'
import { type Manifest, render } from '#test/support/kustomize.ts'

interface Kinds {
  ConfigMap: IConfigMap
  Deployment: IDeployment
  HorizontalPodAutoscaler: IHorizontalPodAutoscaler
  Ingress: IIngress
  NetworkPolicy: INetworkPolicy
  PodDisruptionBudget: IPodDisruptionBudget
  Secret: ISecret
  Service: IService
  ServiceAccount: IServiceAccount
  StatefulSet: IStatefulSet
}
type Rendered<Kind extends keyof Kinds> = Kinds[Kind] & Manifest
type Workload = Rendered<'Deployment'> | Rendered<'StatefulSet'>
type Labels = Record<string, string>

const namespace = 'trivet'
const root = fileURLToPath(new URL('../..', import.meta.url))
const overlays = (await readdir(join(root, 'deploy', 'overlays'))).map((name) => `overlays/${name}`)
const renderings = await Promise.all(
  ['base', ...overlays].map(
    async (name): Promise<[string, Manifest[]]> => [name, await render(join(root, 'deploy', name))],
  ),
)
const renderingOf = (name: string) => renderings.find(([found]) => found === name)?.[1] ?? []
const generated = await generatedSecrets()
const example = secretsOf(
  parseAllDocuments(await readFile(join(root, 'deploy', 'base', 'secrets.example'), 'utf8')).map((document) =>
    document.toJS(),
  ),
)

const all = <Kind extends keyof Kinds>(manifests: readonly Manifest[], kind: Kind) =>
  manifests.filter((manifest) => manifest.kind === kind) as Rendered<Kind>[]
const nameOf = ({ kind, metadata }: Manifest) => `${kind} ${metadata.name}`
const named = <Kind extends keyof Kinds>(manifests: readonly Manifest[], kind: Kind, name: string) => {
  const object = all(manifests, kind).find(({ metadata }) => metadata.name === name)
  if (object === undefined) throw new Error(`there is no ${kind} ${name}`)
  return object
}
const workloadsOf = (manifests: readonly Manifest[]): Workload[] => [
  ...all(manifests, 'Deployment'),
  ...all(manifests, 'StatefulSet'),
]

const podOf = ({ spec }: Workload) => {
  const pod = spec?.template.spec
  if (pod === undefined) throw new Error('there is no pod template')
  return pod
}
const labelsOf = ({ spec }: Workload): Labels => spec?.template.metadata?.labels ?? {}
const programOf = (deployment: Rendered<'Deployment'>): IContainer => {
  const [container, ...others] = podOf(deployment).containers
  if (container === undefined || others.length > 0) throw new Error('a pod of the program has one container')
  return container
}
const containersOf = (workload: Workload): IContainer[] => {
  const { containers, initContainers = [] } = podOf(workload)
  return [...initContainers, ...containers]
}
/** Whether labels are what a selector asks for; one that asks for nothing selects everything. */
const selects = (selector: Labels | undefined, labels: Labels) =>
  Object.entries(selector ?? {}).every(([key, value]) => labels[key] === value)

/** The pods that a Service sends to, and the port there. */
function behind(manifests: readonly Manifest[], service: string, port: string | number) {
  const { spec } = named(manifests, 'Service', service)
  const { targetPort } = spec?.ports?.find(({ name, port: number }) => name === port || number === port) ?? {}
  const selected = (workload: Workload) => selects(spec?.selector, labelsOf(workload))
  const deployments = all(manifests, 'Deployment').filter(selected)
  const others = all(manifests, 'StatefulSet').filter(selected)
  if (others.length > 0) throw new Error(`Service ${service} sends to ${others.map(nameOf)}`)
  const ports = deployments.map((deployment) =>
    programOf(deployment).ports?.find(({ name }) => name === targetPort),
  )
  return { deployments, ports: ports.map((found) => found?.containerPort) }
}

/** The environment of a container, with what a generated Secret holds where one is referred to. */
function environmentOf(manifests: readonly Manifest[], { env = [], envFrom = [] }: IContainer) {
  const environment: Record<string, string> = {}
  for (const { configMapRef } of envFrom) {
    Object.assign(environment, named(manifests, 'ConfigMap', configMapRef?.name ?? '').data)
  }
  for (const { name, value, valueFrom } of env) {
    const reference = valueFrom?.secretKeyRef
    environment[name] = value ?? generated.get(reference?.name ?? '')?.[reference?.key ?? ''] ?? ''
  }
  return environment
}

/** As the program reads it, in its image. */
const configOf = (manifests: readonly Manifest[], deployment: Rendered<'Deployment'>): Config =>
  loadConfig({ NODE_ENV: 'production', ...environmentOf(manifests, programOf(deployment)) }, registry)

const hostedBy = (manifests: readonly Manifest[], deployments: readonly Rendered<'Deployment'>[]) =>
  deployments.map((deployment) => configOf(manifests, deployment).hosted)

async function generatedSecrets(): Promise<Map<string, Labels>> {
  const script = join(root, 'deploy', 'generate-secrets.mjs')
  const { stdout } = await promisify(execFile)(process.execPath, [script, 'kubernetes'])
  return secretsOf(JSON.parse(stdout).items)
}

function secretsOf(manifests: readonly Rendered<'Secret'>[]): Map<string, Labels> {
  return new Map(manifests.map(({ metadata, data, stringData }) => [metadata.name, data ?? stringData ?? {}]))
}

const keysOf = (secrets: ReadonlyMap<string, Labels>) =>
  [...secrets].flatMap(([name, data]) => Object.keys(data).map((key) => `${name}/${key}`)).sort()

/** What of a Secret a workload asks for, as environment or as files. */
function secretReferences(workload: Workload): string[] {
  const variables = containersOf(workload).flatMap(({ env = [] }) => env)
  const { volumes = [] } = podOf(workload)
  return [
    ...variables.flatMap(({ valueFrom }) => {
      const reference = valueFrom?.secretKeyRef
      return reference ? [`${reference.name}/${reference.key}`] : []
    }),
    ...volumes.flatMap(({ secret }) => secret?.items?.map(({ key }) => `${secret.secretName}/${key}`) ?? []),
  ]
}

/** What the schemas of Kubernetes say against objects: types and required fields. */
async function invalid(manifests: readonly Manifest[]): Promise<string[]> {
  const complaints: string[] = []
  for (const manifest of manifests) {
    const { apiVersion, kind } = manifest
    const path = ['kubernetes-models', apiVersion, kind].join('/')
    const models = await import(path)
    try {
      new models[kind](manifest).validate()
    } catch (error) {
      complaints.push(`${nameOf(manifest)}: ${(error as Error).message}`)
    }
  }
  return complaints
}

/** Fields that Kubernetes does not know: its schemas let them through, its types do not. */
function unknownFields(manifests: readonly Manifest[]): string[] {
  const file = join(root, 'test', 'rendered.ts')
  const lines = manifests.map((manifest) => {
    const { apiVersion, kind } = manifest
    const type = `import('kubernetes-models/${apiVersion}/${kind}').I${kind}`
    return `;(${JSON.stringify(manifest)}) satisfies ${type}`
  })
  const options: ts.CompilerOptions = {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ESNext,
    types: [],
    strict: true,
    noEmit: true,
    skipLibCheck: true,
  }
  const host = ts.createCompilerHost(options)
  const { getSourceFile } = host
  host.getSourceFile = (name, ...rest) =>
    name === file
      ? ts.createSourceFile(file, lines.join('\n'), ts.ScriptTarget.ESNext)
      : getSourceFile(name, ...rest)
  const program = ts.createProgram([file], options, host)
  return ts.getPreEmitDiagnostics(program).map(({ file: source, start = 0, messageText }) => {
    const line = source?.getLineAndCharacterOfPosition(start).line ?? 0
    const manifest = manifests[line]
    return `${manifest ? nameOf(manifest) : ''}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
  })
}

/** The Pod Security Standard `restricted`, and that nothing is written but to volumes. */
function unrestricted(workload: Workload): string[] {
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
    demand(right, `volume ${volume.name} is of the node`)
  }
  for (const { name, ports = [], securityContext: own = {} } of containersOf(workload)) {
    const { seccompProfile = pod.seccompProfile, runAsUser = pod.runAsUser } = own
    demand(!own.privileged, `${name} is privileged`)
    demand(own.allowPrivilegeEscalation === false, `${name} may get more privileges`)
    demand(own.capabilities?.drop?.includes('ALL') ?? false, `${name} keeps capabilities`)
    demand((own.capabilities?.add ?? []).length === 0, `${name} adds capabilities`)
    demand((own.runAsNonRoot ?? pod.runAsNonRoot) === true, `${name} may be root`)
    demand(runAsUser !== undefined && runAsUser !== 0, `${name} is root`)
    demand(['RuntimeDefault', 'Localhost'].includes(seccompProfile?.type ?? ''), `${name} may make any call`)
    demand(own.procMount === undefined || own.procMount === 'Default', `${name} sees all of /proc`)
    demand(own.seLinuxOptions === undefined, `${name} chooses its SELinux label`)
    demand(
      ports.every(({ hostPort }) => !hostPort),
      `${name} takes a port of the node`,
    )
    demand(own.readOnlyRootFilesystem === true, `${name} can write to its image`)
  }
  return faults
}

/** Somebody who may connect, or be connected to. Who is not in a namespace is outside of the cluster. */
interface Party {
  name: string
  labels: Labels
  namespace?: string
  address?: string
}

const dns: Party = { name: 'DNS', namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } }
const ingressController: Party = {
  name: 'ingress controller',
  namespace: 'nginx-ingress',
  labels: { 'app.kubernetes.io/name': 'nginx-ingress' },
}
const prometheus: Party = {
  name: 'Prometheus',
  namespace: 'monitoring',
  labels: { 'app.kubernetes.io/name': 'prometheus' },
}
const elsewhere: Party = { name: 'MongoDB elsewhere', labels: {}, address: '10.1.2.3' }
const strangers: Party[] = [
  { name: 'a pod beside them', namespace, labels: { app: 'other' } },
  { name: 'a pod called like the ingress controller', namespace, labels: ingressController.labels },
  { name: 'a pod beside the ingress controller', namespace: 'nginx-ingress', labels: { app: 'other' } },
  { name: 'a pod called like a service', namespace: 'other', labels: { 'app.kubernetes.io/name': 'order' } },
  { name: 'a pod called like Prometheus', namespace: 'other', labels: prometheus.labels },
  { name: 'a pod beside Prometheus', namespace: 'monitoring', labels: { app: 'other' } },
  { name: 'a pod called like DNS', namespace: 'other', labels: dns.labels },
  { name: 'a pod beside DNS', namespace: 'kube-system', labels: { 'k8s-app': 'metrics-server' } },
  { name: 'the internet', labels: {}, address: '203.0.113.7' },
]
const ports = ['53/UDP', '53/TCP', '80/TCP', '443/TCP', '3000/TCP', '27017/TCP', '9999/TCP']

type Connection = [from: string, to: string, port: string]
const written = (connections: readonly Connection[]) =>
  connections.map(([from, to, port]) => `${from} → ${to} ${port}`).sort()

/** The connections that one of their ends lets through, where that is a pod of the namespace. */
function letThrough(
  policies: readonly INetworkPolicy[],
  direction: 'Ingress' | 'Egress',
  parties: readonly Party[],
): Connection[] {
  const ends = parties.filter((party) => party.namespace === namespace)
  return ends.flatMap((end) =>
    parties.flatMap((other) =>
      ports
        .filter((port) => passes(policies, direction, end, other, port))
        .map((port): Connection => {
          const [from, to] = direction === 'Egress' ? [end, other] : [other, end]
          return [from.name, to.name, port]
        }),
    ),
  )
}

/** Whether the policies for one end of a connection let the other end through. */
function passes(
  policies: readonly INetworkPolicy[],
  direction: 'Ingress' | 'Egress',
  end: Party,
  other: Party,
  port: string,
): boolean {
  const own = policies.filter(
    ({ spec }) =>
      spec?.policyTypes?.includes(direction) && selects(spec.podSelector?.matchLabels, end.labels),
  )
  if (own.length === 0) return true
  const rules = own.flatMap(({ spec }) =>
    direction === 'Ingress'
      ? (spec?.ingress ?? []).map(({ from, ports }) => ({ peers: from, ports }))
      : (spec?.egress ?? []).map(({ to, ports }) => ({ peers: to, ports })),
  )
  return rules.some(
    ({ peers, ports }) =>
      (peers ?? [{ podSelector: {}, namespaceSelector: {} }]).some((peer) => isPeer(peer, other)) &&
      (ports ?? [{ port, protocol: '' }]).some(({ port: number, protocol = 'TCP' }) =>
        [`${number}/${protocol}`, `${number}/`].includes(protocol === '' ? `${port}/` : port),
      ),
  )
}

function isPeer({ ipBlock, namespaceSelector, podSelector }: INetworkPolicyPeer, party: Party): boolean {
  if (ipBlock) return party.address !== undefined && isWithin(party.address, ipBlock.cidr)
  if (party.namespace === undefined) return false
  const inNamespace = namespaceSelector
    ? selects(namespaceSelector.matchLabels, { 'kubernetes.io/metadata.name': party.namespace })
    : party.namespace === namespace
  return inNamespace && selects(podSelector?.matchLabels, party.labels)
}

function isWithin(address: string, cidr: string): boolean {
  const [network = '', length = '32'] = cidr.split('/')
  const bits = (dotted: string) =>
    dotted
      .split('.')
      .map((part) => Number(part).toString(2).padStart(8, '0'))
      .join('')
      .slice(0, Number(length))
  return bits(address) === bits(network)
}

/** How controllers read a path of type Prefix: as Kubernetes has it, or as F5's does. */
const readings = {
  'by its segments': (path: string, prefix: string) =>
    path === prefix || path.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`),
  'as a string': (path: string, prefix: string) => path.startsWith(prefix),
}

/** The backend of a path's longest prefix. */
function backendOf(ingress: IIngress, path: string, reading: keyof typeof readings) {
  const paths = ingress.spec?.rules?.flatMap(({ http }) => http?.paths ?? []) ?? []
  const [longest] = paths
    .filter(({ path: prefix = '/' }) => readings[reading](path, prefix))
    .sort((a, b) => (b.path ?? '').length - (a.path ?? '').length)
  return (longest?.backend ?? ingress.spec?.defaultBackend)?.service
}

const anybody = registry.map(({ name }) => name)
const asked = (path: string) => path.replaceAll(/\{\w+\}/g, 'x')
/** Every public path, and who may answer it. */
const publicPaths: [path: string, hosts: string[]][] = [
  ...registry.flatMap(({ name, api }) =>
    Object.values(api).map(({ path }): [string, string[]] => [asked(path), [name]]),
  ),
  [operatorApi.document.path, anybody],
  [operatorApi.reference.path, anybody],
  [asked(operatorApi.problem.path), anybody],
  ['/docs/assets/reference.js', anybody],
]
const privatePaths = [
  ...['/', '/internal', '/internal/product/reserve', '/internalX', '/metrics', '/metrics/x'],
  ...[operatorApi.healthz.path, operatorApi.readyz.path, '/other'],
]

test('there are overlays, and a workload in each', () => {
  expect(overlays).toEqual(
    expect.arrayContaining(['local', 'monolith', 'production'].map((name) => `overlays/${name}`)),
  )
  for (const [name, manifests] of renderings) expect(all(manifests, 'Deployment'), name).not.toEqual([])
})

test('a wrong type, a missing field and an unknown one are found', async () => {
  const [pod] = all(renderingOf('base'), 'Deployment').map((deployment) => structuredClone(deployment))
  if (pod?.spec?.template.spec === undefined) throw new Error('there is no Deployment')
  const wrong = { ...pod, spec: { ...pod.spec, minReadySeconds: '5' } }
  const missing = { ...pod, spec: { ...pod.spec, selector: undefined } }
  const unknown = {
    ...pod,
    spec: { ...pod.spec, template: { spec: { ...pod.spec.template.spec, probes: 3 } } },
  }
  expect(await invalid([wrong])).toEqual([expect.stringContaining('minReadySeconds must be integer')])
  expect(await invalid([missing])).toEqual([expect.stringContaining('must have required property selector')])
  expect(unknownFields([pod, unknown])).toEqual([expect.stringContaining('"probes"')])
})

test('every field of every object is one that Kubernetes knows', () => {
  expect(unknownFields(renderings.flatMap(([, manifests]) => manifests))).toEqual([])
})

describe.each(renderings)('%s', (directory, manifests) => {
  const deployments = all(manifests, 'Deployment')
  const workloads = workloadsOf(manifests)
  const byName = <W extends Workload>(list: readonly W[]) =>
    list.map((one): [string, W] => [nameOf(one), one])

  test('hosts every module', () => {
    expect(new Set(hostedBy(manifests, deployments).flat())).toEqual(new Set(anybody))
  })

  test('is valid by the schemas of Kubernetes', async () => {
    expect(await invalid(manifests)).toEqual([])
  })

  test('is in one namespace, which holds pods to the standard `restricted`', () => {
    const [own, ...others] = manifests.filter(({ kind }) => kind === 'Namespace')
    expect(others).toEqual([])
    expect(own?.metadata).toMatchObject({
      name: namespace,
      labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
    })
    const astray = manifests.filter(
      ({ kind, metadata }) => kind !== 'Namespace' && metadata.namespace !== namespace,
    )
    expect(astray.map(nameOf)).toEqual([])
  })

  test('has no secret in it', () => {
    expect(all(manifests, 'Secret')).toEqual([])
    const secretName = /SECRET|PASSWORD|PRIVATE|TOKEN|URI|KEY/
    const variables = workloads.flatMap((workload) => containersOf(workload).flatMap(({ env = [] }) => env))
    const literals = variables.filter(
      ({ name, valueFrom }) => secretName.test(name) && !valueFrom?.secretKeyRef,
    )
    expect(literals).toEqual([])
    const settings = all(manifests, 'ConfigMap').flatMap(({ data }) => Object.keys(data ?? {}))
    expect(settings.filter((name) => secretName.test(name))).toEqual([])
    for (const value of all(manifests, 'ConfigMap').flatMap(({ data }) => Object.values(data ?? {}))) {
      expect(value).not.toMatch(/:\/\/[^/\s$]+:[^/\s$]+@/)
    }
  })

  test('asks for no secret that nobody makes', () => {
    const references = workloads.flatMap(secretReferences)
    expect(references).not.toEqual([])
    expect(references.filter((reference) => !keysOf(generated).includes(reference))).toEqual([])
  })

  test('has nothing that is replaced while its settings are not', () => {
    const referred = workloads.flatMap((workload) => [
      ...containersOf(workload).flatMap(({ envFrom = [] }) =>
        envFrom.map(({ configMapRef }) => configMapRef?.name),
      ),
      ...(podOf(workload).volumes ?? []).flatMap(({ configMap }) => configMap?.name ?? []),
    ])
    const names = all(manifests, 'ConfigMap').map(({ metadata }) => metadata.name)
    expect(new Set(referred)).toEqual(new Set(names))
    // The hash of what it holds.
    for (const name of names) expect(name).toMatch(/-[a-z0-9]{10}$/)
  })

  describe.each(byName(deployments))('%s', (_, deployment) => {
    const { name } = deployment.metadata
    const labels = labelsOf(deployment)
    const container = programOf(deployment)

    test('is alive, started and ready for different reasons', () => {
      const { startupProbe, readinessProbe, livenessProbe, ports = [] } = container
      const [httpPort] = ports
      const probe = (path: string) => ({ httpGet: { path, port: httpPort?.name } })
      expect(startupProbe).toMatchObject(probe(operatorApi.healthz.path))
      expect(readinessProbe).toMatchObject(probe(operatorApi.readyz.path))
      expect(livenessProbe).toMatchObject(probe(operatorApi.healthz.path))
      const patience = (livenessProbe?.periodSeconds ?? 0) * (livenessProbe?.failureThreshold ?? 0)
      expect(patience).toBeGreaterThanOrEqual(15)
      // A frozen process: it gets neither an answer out nor the signal that tells it to end.
      const { timeoutSeconds = 1, terminationGracePeriodSeconds } = livenessProbe ?? {}
      const restartedAfter =
        patience +
        timeoutSeconds +
        (terminationGracePeriodSeconds ?? podOf(deployment).terminationGracePeriodSeconds ?? 30)
      expect(restartedAfter).toBeLessThanOrEqual(36)
    })

    test('asks for what it needs, and gets no more than its limits', () => {
      const amounts = { cpu: expect.any(String), memory: expect.any(String) }
      expect(container.resources).toMatchObject({ requests: amounts, limits: amounts })
    })

    test('spreads its own pods of one revision over nodes and zones', () => {
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

    test('is replaced pod by pod, none of which goes before another has come', () => {
      expect(deployment.spec).toMatchObject({
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0 } },
      })
    })

    test('loses one pod at a time to the drain of nodes', () => {
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

    test('is scaled by an autoscaler alone, to two pods or more', () => {
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

    test('goes on accepting while the ingress hears of its end, and ends before it is killed', () => {
      const { drain } = configOf(manifests, deployment)
      expect(drain.delayMs).toBeGreaterThanOrEqual(1_000)
      const graceSeconds = podOf(deployment).terminationGracePeriodSeconds ?? 0
      expect(graceSeconds * 1_000).toBeGreaterThan(drain.timeoutMs)
    })

    test('selects its own pods and no others', () => {
      const selected = workloads.filter((other) =>
        selects(deployment.spec?.selector.matchLabels, labelsOf(other)),
      )
      expect(selected.map(nameOf)).toEqual([nameOf(deployment)])
    })

    test('says which version it runs, in base that an overlay does', () => {
      expect(container.image).toMatch(directory === 'base' ? /^trivet$/ : /^[\w./-]+:(?!latest$)[\w.-]+$/)
    })

    test('has the environment that the program asks for in production', () => {
      const config = configOf(manifests, deployment)
      expect(config).toMatchObject({ production: true, demo: false })
      expect(container.ports).toEqual([expect.objectContaining({ containerPort: config.port })])
      const [, user] = config.mongodb.uri?.match(/^mongodb:\/\/(\w+):/) ?? []
      expect(user).toBe(name)
    })

    test('finds each module that it needs and does not host', () => {
      const { hosted, urls } = configOf(manifests, deployment)
      const needed = registry
        .filter((module) => hosted.includes(module.name))
        .flatMap((module) => Object.keys(module.needs))
        .filter((need) => !hosted.includes(need))
      for (const need of needed) {
        const { protocol, hostname, port } = new URL(urls[need] ?? '')
        expect(protocol).toBe('http:')
        const found = behind(manifests, hostname, Number(port || 80))
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
    test('keeps to the Pod Security Standard `restricted`, and to its volumes', () => {
      expect(unrestricted(workload)).toEqual([])
    })

    test('has an account of its own, and no token of it', () => {
      const { serviceAccountName = '', automountServiceAccountToken, enableServiceLinks } = podOf(workload)
      expect(serviceAccountName).toBe(workload.metadata.name)
      expect(named(manifests, 'ServiceAccount', serviceAccountName)).toMatchObject({
        automountServiceAccountToken: false,
      })
      expect(automountServiceAccountToken).toBe(false)
      expect(enableServiceLinks).toBe(false)
    })

    test('has only pods that are held to limits', () => {
      for (const { resources } of containersOf(workload)) {
        const amounts = { cpu: expect.any(String), memory: expect.any(String) }
        expect(resources).toMatchObject({ requests: amounts, limits: amounts })
      }
    })
  })

  test.each(all(manifests, 'StatefulSet'))('MongoDB is where it is looked for', (statefulSet) => {
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
  })

  describe('the Ingress', () => {
    const ingress = named(manifests, 'Ingress', namespace)

    test('is one, for the class nginx and a host, and nothing that a controller would refuse', () => {
      expect(all(manifests, 'Ingress')).toHaveLength(1)
      expect(ingress.spec?.ingressClassName).toBe('nginx')
      expect(ingress.spec).not.toHaveProperty('defaultBackend')
      const hosts = ingress.spec?.rules?.map(({ host }) => host)
      expect(hosts).toEqual([expect.stringMatching(/^[a-z.]+$/)])
      for (const { hosts: certified } of ingress.spec?.tls ?? []) expect(certified).toEqual(hosts)
      const annotations = Object.keys((ingress.metadata as { annotations?: Labels }).annotations ?? {})
      expect(annotations.filter((name) => /snippet/.test(name))).toEqual([])
    })

    describe.each(Object.keys(readings) as (keyof typeof readings)[])('a prefix being read %s', (reading) => {
      test('every public path leads to pods that answer it', () => {
        for (const [path, hosts] of publicPaths) {
          const backend = backendOf(ingress, path, reading)
          const port = backend?.port?.name ?? backend?.port?.number ?? 0
          const found = behind(manifests, backend?.name ?? '', port)
          expect(found.deployments, path).not.toEqual([])
          for (const deployment of found.deployments) {
            const { hosted, port: listens } = configOf(manifests, deployment)
            expect(
              hosted.filter((module) => hosts.includes(module)),
              path,
            ).not.toEqual([])
            expect(new Set(found.ports), path).toEqual(new Set([listens]))
          }
        }
      })

      test('what is not public leads nowhere', () => {
        for (const path of privatePaths) expect(backendOf(ingress, path, reading), path).toBeUndefined()
      })
    })
  })

  test('the network lets through what is needed, and nothing else', () => {
    const pods: Party[] = workloads.map((workload) => ({
      name: workload.metadata.name,
      namespace,
      labels: labelsOf(workload),
    }))
    const services = deployments.map((deployment) => ({
      name: deployment.metadata.name,
      hosted: configOf(manifests, deployment).hosted,
    }))
    const calls = services.flatMap(({ name, hosted }) => {
      const modules = registry.filter((module) => hosted.includes(module.name))
      const needs = modules.flatMap((module) => Object.keys(module.needs))
      const remote = needs.filter((need) => !hosted.includes(need))
      const hosts = services.filter((other) => other.hosted.some((module) => remote.includes(module)))
      return hosts.map((host): Connection => [name, host.name, '3000/TCP'])
    })
    const [mongodb] = all(manifests, 'StatefulSet').map(({ metadata }) => metadata.name)
    // Base does not say where MongoDB is.
    const database = mongodb ?? (directory === 'base' ? undefined : elsewhere.name)
    const parties = [...pods, dns, ingressController, prometheus, elsewhere, ...strangers]
    const inside = parties.filter((party) => party.namespace === namespace).map(({ name }) => name)
    const needed: Connection[] = [
      ...calls,
      ...services.map(({ name }): Connection => [ingressController.name, name, '3000/TCP']),
      ...services.map(({ name }): Connection => [prometheus.name, name, '3000/TCP']),
      ...(database ? services.map(({ name }): Connection => [name, database, '27017/TCP']) : []),
      ...(mongodb ? [[mongodb, mongodb, '27017/TCP'] as Connection] : []),
      ...inside.flatMap((name): Connection[] => [
        [name, dns.name, '53/TCP'],
        [name, dns.name, '53/UDP'],
      ]),
    ]
    const policies = all(manifests, 'NetworkPolicy')
    expect(written(letThrough(policies, 'Egress', parties))).toEqual(
      written(needed.filter(([from]) => inside.includes(from))),
    )
    expect(written(letThrough(policies, 'Ingress', parties))).toEqual(
      written(needed.filter(([, to]) => inside.includes(to))),
    )
  })
})

test('order calls product and auth, product calls auth, and nobody else calls anybody', () => {
  const policies = all(renderingOf('base'), 'NetworkPolicy')
  const services = all(renderingOf('base'), 'Deployment').map((deployment) => ({
    name: deployment.metadata.name,
    namespace,
    labels: labelsOf(deployment),
  }))
  for (const direction of ['Ingress', 'Egress'] as const) {
    expect(written(letThrough(policies, direction, services))).toEqual([
      'order → auth 3000/TCP',
      'order → product 3000/TCP',
      'product → auth 3000/TCP',
    ])
  }
})

describe.each([
  ['production', 'monolith'],
  ['local', 'local-monolith'],
])('%s and %s, while one takes the place of the other,', (split, one) => {
  const services = renderingOf(`overlays/${split}`)
  const monolith = renderingOf(`overlays/${one}`)
  const both = new Map(services.map((manifest) => [nameOf(manifest), manifest]))

  test('share an Ingress, which moves the traffic and can be left out, and what is the same for both', () => {
    const different = monolith.filter((manifest) => {
      const other = both.get(nameOf(manifest))
      return other !== undefined && JSON.stringify(other) !== JSON.stringify(manifest)
    })
    expect(different.map(nameOf)).toEqual(['Ingress trivet'])
    const host = (manifests: readonly Manifest[]) =>
      named(manifests, 'Ingress', 'trivet').spec?.rules?.[0]?.host
    expect(host(services)).toBe(host(monolith))
    for (const manifests of [services, monolith]) {
      const labelled = manifests.filter(
        ({ metadata }) => metadata.labels?.['app.kubernetes.io/component'] === 'ingress',
      )
      expect(labelled.map(nameOf)).toEqual(['Ingress trivet'])
    }
  })

  test('can be told apart by a label, to remove one of them', () => {
    const own = monolith.filter((manifest) => !both.has(nameOf(manifest)) && manifest.kind !== 'ConfigMap')
    expect(own.map(({ kind }) => kind).sort()).toEqual([
      'Deployment',
      'HorizontalPodAutoscaler',
      'PodDisruptionBudget',
      'Service',
      'ServiceAccount',
    ])
    for (const { metadata } of own)
      expect(metadata.labels).toMatchObject({ 'app.kubernetes.io/name': 'monolith' })
    const labelled = services.filter(
      ({ metadata }) => metadata.labels?.['app.kubernetes.io/name'] === 'monolith',
    )
    expect(labelled).toEqual([])
  })

  test('do not select the pods of the other', () => {
    for (const [own, others] of [
      [services, monolith],
      [monolith, services],
    ] as const) {
      const pods = all(others, 'Deployment').map(labelsOf)
      const selectors = [
        ...all(own, 'Deployment').map((object) => ({ object, selector: object.spec?.selector.matchLabels })),
        ...all(own, 'PodDisruptionBudget').map((object) => ({
          object,
          selector: object.spec?.selector?.matchLabels,
        })),
        ...all(own, 'Service').map((object) => ({ object, selector: object.spec?.selector })),
      ]
      const crossing = selectors.filter(({ selector }) => pods.some((labels) => selects(selector, labels)))
      // Any of them, whatever it hosts.
      expect(crossing.map(({ object }) => nameOf(object))).toEqual(own === services ? ['Service trivet'] : [])
    }
  })
})

describe('the example of Secrets', () => {
  test('names what is generated', () => {
    expect(keysOf(example)).toEqual(keysOf(generated))
  })

  test('is refused by Kubernetes, Secret by Secret, since nothing in it is base64', () => {
    for (const data of example.values()) {
      for (const value of Object.values(data)) expect(value).not.toMatch(/^[A-Za-z0-9+/=\s]*$/)
    }
  })

  test('is in no kustomization', async () => {
    const files = await readdir(join(root, 'deploy'), { recursive: true })
    for (const file of files.filter((name) => name.endsWith('kustomization.yaml'))) {
      expect(await readFile(join(root, 'deploy', file), 'utf8')).not.toContain('secrets.example')
    }
  })
})
