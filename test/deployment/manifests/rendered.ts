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
import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap'
import type { IContainer } from 'kubernetes-models/v1/Container'
import type { ISecret } from 'kubernetes-models/v1/Secret'
import type { IService } from 'kubernetes-models/v1/Service'
import type { IServiceAccount } from 'kubernetes-models/v1/ServiceAccount'
import { parseAllDocuments } from 'yaml'
import { type Config, loadConfig } from '#kernel/config/load-config.ts'
import { registry } from '#src/registry.ts'
import { type Manifest, render } from '#test/support/kustomize.ts'

export interface Kinds {
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
export type Rendered<Kind extends keyof Kinds> = Kinds[Kind] & Manifest
export type Workload = Rendered<'Deployment'> | Rendered<'StatefulSet'>
export type Labels = Record<string, string>

export const namespace = 'trivet'
export const root = fileURLToPath(new URL('../../..', import.meta.url))
export const overlays = (await readdir(join(root, 'deploy', 'overlays'))).map((name) => `overlays/${name}`)
export const renderings = await Promise.all(
  ['base', ...overlays].map(
    async (name): Promise<[string, Manifest[]]> => [name, await render(join(root, 'deploy', name))],
  ),
)
/** The names of all modules. */
export const moduleNames = registry.map(({ name }) => name)

export const renderingOf = (name: string) => renderings.find(([found]) => found === name)?.[1] ?? []
export const generated = await generatedSecrets()
export const example = secretsOf(
  parseAllDocuments(await readFile(join(root, 'deploy', 'base', 'secrets.example'), 'utf8')).map((document) =>
    document.toJS(),
  ),
)

export const all = <Kind extends keyof Kinds>(manifests: readonly Manifest[], kind: Kind) =>
  manifests.filter((manifest) => manifest.kind === kind) as Rendered<Kind>[]
export const nameOf = ({ kind, metadata }: Manifest) => `${kind} ${metadata.name}`
export const named = <Kind extends keyof Kinds>(manifests: readonly Manifest[], kind: Kind, name: string) => {
  const object = all(manifests, kind).find(({ metadata }) => metadata.name === name)
  if (object === undefined) throw new Error(`there is no ${kind} ${name}`)
  return object
}
export const workloadsOf = (manifests: readonly Manifest[]): Workload[] => [
  ...all(manifests, 'Deployment'),
  ...all(manifests, 'StatefulSet'),
]

export const podOf = ({ spec }: Workload) => {
  const pod = spec?.template.spec
  if (pod === undefined) throw new Error('there is no pod template')
  return pod
}
export const labelsOf = ({ spec }: Workload): Labels => spec?.template.metadata?.labels ?? {}
export const programOf = (deployment: Rendered<'Deployment'>): IContainer => {
  const [container, ...others] = podOf(deployment).containers
  if (container === undefined || others.length > 0) throw new Error('a pod of the program has one container')
  return container
}
export const containersOf = (workload: Workload): IContainer[] => {
  const { containers, initContainers = [] } = podOf(workload)
  return [...initContainers, ...containers]
}
/** Returns whether a selector selects these labels. An empty selector selects everything. */
export const selects = (selector: Labels | undefined, labels: Labels) =>
  Object.entries(selector ?? {}).every(([key, value]) => labels[key] === value)

/** Returns the Deployments that a Service sends to, and their ports. */
export function targetsOf(manifests: readonly Manifest[], service: string, port: string | number) {
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

/** Returns the environment of a container, with values of the generated Secrets that it refers to. */
export function environmentOf(manifests: readonly Manifest[], { env = [], envFrom = [] }: IContainer) {
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

/** Returns the configuration that the program reads in this Deployment. */
export const configOf = (manifests: readonly Manifest[], deployment: Rendered<'Deployment'>): Config =>
  loadConfig({ NODE_ENV: 'production', ...environmentOf(manifests, programOf(deployment)) }, registry)

export const hostedBy = (manifests: readonly Manifest[], deployments: readonly Rendered<'Deployment'>[]) =>
  deployments.map((deployment) => configOf(manifests, deployment).hosted)

export async function generatedSecrets(): Promise<Map<string, Labels>> {
  const script = join(root, 'deploy', 'generate-secrets.mjs')
  const { stdout } = await promisify(execFile)(process.execPath, [script, 'kubernetes'])
  return secretsOf(JSON.parse(stdout).items)
}

export function secretsOf(manifests: readonly Rendered<'Secret'>[]): Map<string, Labels> {
  return new Map(manifests.map(({ metadata, data, stringData }) => [metadata.name, data ?? stringData ?? {}]))
}

export const keysOf = (secrets: ReadonlyMap<string, Labels>) =>
  [...secrets].flatMap(([name, data]) => Object.keys(data).map((key) => `${name}/${key}`)).sort()

/** Returns the keys of Secrets that a workload uses, as environment or as files. */
export function secretReferences(workload: Workload): string[] {
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
