// TAP: cases run one after another, each of them even if one before it failed.
let count = 0
let failed = 0

export async function test(name, body, limitMs = 120_000) {
  const started = Date.now()
  let timer
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${limitMs} ms`)), limitMs)
  })
  count++
  try {
    await Promise.race([body(), limit])
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
