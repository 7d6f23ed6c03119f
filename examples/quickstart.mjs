// The quick start with the official JavaScript SDK (npm install e2b).
//
// Start a server (sudo silica serve), then: eval "$(sudo silica env)" && node quickstart.mjs
import { Sandbox } from 'e2b'

async function step(name, body) {
  const started = performance.now()
  const result = await body()
  console.log(`${name} (${Math.round(performance.now() - started)} ms)`)
  return result
}

async function fetchWhenUp(url) {
  for (let tries = 0; ; tries++) {
    const answer = await fetch(url).catch((error) => ({ ok: false, error }))
    if (answer.ok) return answer.text()
    if (tries === 100) throw answer.error ?? new Error(`${url} answers ${answer.status}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

const sandbox = await step('create a sandbox', () => Sandbox.create('base', { timeoutMs: 300_000 }))
try {
  console.log(`  it is ${sandbox.sandboxId}`)
  await step('write script.py', () => sandbox.files.write('script.py', 'print("hello from Python")'))

  const result = await step('run it', () => sandbox.commands.run('python3 script.py'))
  console.log(`  ${result.stdout.trim()}`)

  const content = await step('read it back', () => sandbox.files.read('script.py'))
  console.log(`  ${content}`)

  const node = await step('a Node one-liner', () =>
    sandbox.commands.run(`node -e 'console.log("hello from Node " + process.version)'`))
  console.log(`  ${node.stdout.trim()}`)

  const url = `http://${sandbox.getHost(8000)}/script.py`
  await step('start a web server in the background', () =>
    sandbox.commands.run('python3 -m http.server 8000', { background: true }))
  const page = await step('fetch it through its host name', () => fetchWhenUp(url))
  console.log(`  ${url}: ${page}`)
  if (page !== content) throw new Error('the page is not the file')
} finally {
  await step('kill the sandbox', () => sandbox.kill())
}
