import dns from 'node:dns'

/** Preloaded into services: they find each other by the names that NAMES_SERVER knows, as containers do. */
const resolver = new dns.Resolver()
resolver.setServers([process.env.NAMES_SERVER ?? ''])
const lookup = dns.lookup

type Found = (error: Error | null, address?: unknown, family?: number) => void

dns.lookup = ((name: string, options: { all?: boolean }, found: Found) => {
  // Whatever has a dot is an address, or of the world outside.
  if (name.includes('.') || name === 'localhost') return lookup(name, options, found as never)
  resolver.resolve4(name, (error, addresses = []) => {
    const [address] = addresses
    if (error || address === undefined) found(error ?? new Error(`${name} has no address`))
    else if (options.all) found(null, shuffled(addresses.map((each) => ({ address: each, family: 4 }))))
    else found(null, address, 4)
  })
}) as typeof dns.lookup

const shuffled = <Item>(items: Item[]): Item[] => {
  const turn = Math.floor(Math.random() * items.length)
  return [...items.slice(turn), ...items.slice(0, turn)]
}
