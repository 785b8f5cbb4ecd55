import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy'
import type { INetworkPolicyPeer } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicyPeer'
import { describe, expect, test } from 'vitest'
import { registry } from '#src/registry.ts'

import {
  all,
  configOf,
  type Labels,
  labelsOf,
  namespace,
  renderingOf,
  renderings,
  selects,
  workloadsOf,
} from './rendered.ts'

/** One end of a connection. An endpoint without a namespace is outside the cluster. */
interface Endpoint {
  name: string
  labels: Labels
  namespace?: string
  address?: string
}

const dns: Endpoint = { name: 'DNS', namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } }
const ingressController: Endpoint = {
  name: 'ingress controller',
  namespace: 'nginx-ingress',
  labels: { 'app.kubernetes.io/name': 'nginx-ingress' },
}
const prometheus: Endpoint = {
  name: 'Prometheus',
  namespace: 'monitoring',
  labels: { 'app.kubernetes.io/name': 'prometheus' },
}
const externalMongodb: Endpoint = { name: 'external MongoDB', labels: {}, address: '10.1.2.3' }
const others: Endpoint[] = [
  { name: 'another pod in the namespace', namespace, labels: { app: 'other' } },
  { name: 'a pod with the labels of the ingress controller', namespace, labels: ingressController.labels },
  { name: 'another pod beside the ingress controller', namespace: 'nginx-ingress', labels: { app: 'other' } },
  {
    name: 'a pod in another namespace with the labels of a service',
    namespace: 'other',
    labels: { 'app.kubernetes.io/name': 'order' },
  },
  { name: 'a pod with the labels of Prometheus', namespace: 'other', labels: prometheus.labels },
  { name: 'another pod beside Prometheus', namespace: 'monitoring', labels: { app: 'other' } },
  { name: 'a pod with the labels of DNS', namespace: 'other', labels: dns.labels },
  { name: 'another pod beside DNS', namespace: 'kube-system', labels: { 'k8s-app': 'metrics-server' } },
  { name: 'the internet', labels: {}, address: '203.0.113.7' },
]
const ports = ['53/UDP', '53/TCP', '80/TCP', '443/TCP', '3000/TCP', '8081/TCP', '27017/TCP', '9999/TCP']

type Connection = [from: string, to: string, port: string]
const textsOf = (connections: readonly Connection[]) =>
  connections.map(([from, to, port]) => `${from} → ${to} ${port}`).sort()

/** Returns the connections that the policies allow at the ends that are pods of the namespace. */
function allowedConnections(
  policies: readonly INetworkPolicy[],
  direction: 'Ingress' | 'Egress',
  endpoints: readonly Endpoint[],
): Connection[] {
  const ends = endpoints.filter((party) => party.namespace === namespace)
  return ends.flatMap((end) =>
    endpoints.flatMap((other) =>
      ports
        .filter((port) => isAllowed(policies, direction, end, other, port))
        .map((port): Connection => {
          const [from, to] = direction === 'Egress' ? [end, other] : [other, end]
          return [from.name, to.name, port]
        }),
    ),
  )
}

/** Returns whether the policies of one end of a connection allow the other end. */
function isAllowed(
  policies: readonly INetworkPolicy[],
  direction: 'Ingress' | 'Egress',
  end: Endpoint,
  other: Endpoint,
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

function isPeer({ ipBlock, namespaceSelector, podSelector }: INetworkPolicyPeer, party: Endpoint): boolean {
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

/** The network policies allow the connections that are needed and no others. */
export function networkPolicySuite() {
  describe.each(renderings)('%s', (directory, manifests) => {
    const deployments = all(manifests, 'Deployment')
    const workloads = workloadsOf(manifests)

    test('the policies allow the needed connections and no others', () => {
      const pods: Endpoint[] = workloads.map((workload) => ({
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
      // Base has no MongoDB.
      const database = mongodb ?? (directory === 'base' ? undefined : externalMongodb.name)
      const endpoints = [...pods, dns, ingressController, prometheus, externalMongodb, ...others]
      const inside = endpoints.filter((party) => party.namespace === namespace).map(({ name }) => name)
      const needed: Connection[] = [
        ...calls,
        ...services.map(({ name }): Connection => [ingressController.name, name, '3000/TCP']),
        ...services.map(({ name }): Connection => [prometheus.name, name, '8081/TCP']),
        ...(database ? services.map(({ name }): Connection => [name, database, '27017/TCP']) : []),
        ...(mongodb ? [[mongodb, mongodb, '27017/TCP'] as Connection] : []),
        ...inside.flatMap((name): Connection[] => [
          [name, dns.name, '53/TCP'],
          [name, dns.name, '53/UDP'],
        ]),
      ]
      const policies = all(manifests, 'NetworkPolicy')
      expect(textsOf(allowedConnections(policies, 'Egress', endpoints))).toEqual(
        textsOf(needed.filter(([from]) => inside.includes(from))),
      )
      expect(textsOf(allowedConnections(policies, 'Ingress', endpoints))).toEqual(
        textsOf(needed.filter(([, to]) => inside.includes(to))),
      )
    })
  })
  test('among the services, the calls of this list are allowed, and no other call is allowed', () => {
    const policies = all(renderingOf('base'), 'NetworkPolicy')
    const services = all(renderingOf('base'), 'Deployment').map((deployment) => ({
      name: deployment.metadata.name,
      namespace,
      labels: labelsOf(deployment),
    }))
    for (const direction of ['Ingress', 'Egress'] as const) {
      expect(textsOf(allowedConnections(policies, direction, services))).toEqual(
        [
          'order → auth 3000/TCP',
          'order → product 3000/TCP',
          'product → auth 3000/TCP',
          // Calls of further modules follow.
        ].sort(),
      )
    }
  })
}
