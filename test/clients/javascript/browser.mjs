// What the programs of this directory share: the browser, and a way to say what is wrong.
import { createInterface } from 'node:readline'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

/** Sends the person at the browser to a URL and returns the URL where the browser ended. */
export async function browse(url) {
  console.log(String(url))
  const { value, done } = await lines.next()
  if (done) throw new Error('the browser was closed')
  return new URL(value)
}

/** Ends the reading, so that the program can end. */
export function closeBrowser() {
  process.stdin.destroy()
}

/** Resolves if what is tried fails as said, and fails if it works. */
export async function refused(what, pattern, promise) {
  let answer
  try {
    answer = await promise
  } catch (error) {
    const told = [error.code, error.error, error.status, error.message, error.cause?.error, JSON.stringify(error.cause?.parameters ?? null)].join(' ')
    if (!pattern.test(told)) throw new Error(`${what} was refused, but not as ${pattern}: ${told}`, { cause: error })
    return
  }
  throw new Error(`${what} was not refused: ${JSON.stringify(answer)}`)
}

export const origin = new URL(process.env.ORIGIN)
export const sites = new URL('/api/v2/sites', process.env.APIS)
export const callback = process.env.CALLBACK_URI
