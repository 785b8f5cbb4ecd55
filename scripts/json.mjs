// Makes an answer of the API readable: `curl -si URL | node scripts/json.mjs` prints the JSON indented, and in colours at a
// terminal. The status, and whether an answer was replayed, go to standard error. `node scripts/json.mjs data[0].productId`
// prints only that field, so that a shell can keep it in a variable. This file runs on any Node.js from 20 on.
import { readFileSync } from 'node:fs'

const colours = { key: 36, text: 32, number: 33, literal: 35, status: 1 }
const isColoured = (stream) => stream.isTTY === true && process.env.NO_COLOR === undefined
const colour = (name, text) => `\u001b[${colours[name]}m${text}\u001b[0m`

/** The tokens of indented JSON: a text, which is a key if a colon follows it; a literal; a number. */
const tokens = /("(?:\\.|[^"\\])*")(:?)|\b(?:true|false|null)\b|-?\d[\d.eE+-]*/g

const inColours = (json) =>
  json.replace(tokens, (token, text, colon) => {
    if (text !== undefined) return `${colour(colon ? 'key' : 'text', text)}${colon}`
    return colour(/^[a-z]/.test(token) ? 'literal' : 'number', token)
  })

/** Splits the output of `curl -i` into the status, the header fields that matter here, and the body. */
function parseAnswer(input) {
  const head = input.match(/^HTTP\/[^\n]*\n(?:[^\n]*\S[^\n]*\n)*\r?\n/)?.[0]
  if (head === undefined) return { facts: [], body: input }
  const [status, ...fields] = head.trim().split(/\r?\n/)
  return {
    facts: [status, ...fields.filter((field) => /^idempotent-replayed:/i.test(field))],
    body: input.slice(head.length),
  }
}

/** @returns the value at a path such as `data[0].productId` */
const valueAt = (value, path) =>
  path
    .split(/[.[\]]+/)
    .filter((name) => name !== '')
    .reduce((parent, name) => parent?.[name], value)

function parse(body) {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

const { facts, body } = parseAnswer(readFileSync(0, 'utf8'))
const json = parse(body)
for (const fact of facts) console.error(isColoured(process.stderr) ? colour('status', fact) : fact)

const path = process.argv[2]
const found = path === undefined ? json : valueAt(json, path)
if (found === undefined) {
  // An answer without a body, or one that is not JSON, or one without the field: an error of the API, for example.
  const text = body.trimEnd()
  if (path !== undefined) {
    console.error(`There is no ${path} in this answer: ${text}`)
    process.exitCode = 1
  } else if (text !== '') console.log(text)
} else if (path !== undefined && typeof found === 'string') {
  console.log(found)
} else {
  const text = JSON.stringify(found, null, 2)
  console.log(isColoured(process.stdout) ? inColours(text) : text)
}
