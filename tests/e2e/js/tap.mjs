// TAP: cases run one after another, each of them even if one before it failed.
// Limits are longer where sandboxes are emulated machines: LIMIT_FACTOR comes from tests/lib/silica.py.
let count = 0
let failed = 0

export const limit = (ms) => ms * Number(process.env.LIMIT_FACTOR ?? 1)

export async function test(name, body, limitMs = limit(120_000)) {
  const started = Date.now()
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${limitMs} ms`)), limitMs)
  })
  count++
  try {
    await Promise.race([body(), late])
    console.log(`ok ${count} - ${name}\n# ${((Date.now() - started) / 1000).toFixed(2)} s`)
  } catch (e) {
    failed++
    console.log(`not ok ${count} - ${name}`)
    for (const line of String((e && e.stack) || e).split('\n')) console.log(`# ${line}`)
  } finally {
    clearTimeout(timer)
  }
}

export function done() {
  console.log(`1..${count}`)
  process.exit(failed ? 1 : 0)
}
