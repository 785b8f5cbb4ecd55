import dns from 'node:dns'

/** Preloaded into services. They resolve each other's names with the DNS server in NAMES_SERVER, as containers do. */
const resolver = new dns.Resolver()
resolver.setServers([process.env.NAMES_SERVER ?? ''])
const lookup = dns.lookup

type Found = (error: Error | null, address?: unknown, family?: number) => void

dns.lookup = ((name: string, options: { all?: boolean }, found: Found) => {
  // A name with a dot is an address, or the name of an external host.
  if (name.includes('.') || name === 'localhost') return lookup(name, options, found as never)
  resolver.resolve4(name, (error, addresses = []) => {
    const [address] = addresses
    if (error || address === undefined) found(error ?? new Error(`${name} has no address`))
    else if (options.all) found(null, rotated(addresses.map((each) => ({ address: each, family: 4 }))))
    else found(null, address, 4)
  })
}) as typeof dns.lookup

const rotated = <Item>(items: Item[]): Item[] => {
  const offset = Math.floor(Math.random() * items.length)
  return [...items.slice(offset), ...items.slice(0, offset)]
}
