// The official JavaScript SDK against the server of the environment (E2B_API_URL and so on).
//
// E2B_PACKAGE names the package: `e2b`, or another version under an alias. SILICA_E2E is the folder
// of these tests. Nothing here depends on speed: what takes time is waited for.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { done, limit, test } from './tap.mjs'
import { WebSocket } from 'undici'

const e2b = await import(process.env.E2B_PACKAGE ?? 'e2b')
const { Sandbox, CommandExitError, NotEnoughSpaceError, TimeoutError, NotFoundError, AuthenticationError } = e2b
const { InvalidArgumentError } = e2b
const shared = (name) => readFileSync(`${process.env.SILICA_E2E}/shared/${name}`, 'utf8')
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const BIG_BYTES = 100 * 1024 * 1024

async function until(what, condition, limitMs = limit(60_000)) {
  const end = Date.now() + limitMs
  for (;;) {
    const value = await condition()
    if (value) return value
    assert.ok(Date.now() < end, `still not so: ${what}`)
    await sleep(100)
  }
}

async function withSandbox(options, body) {
  const sandbox = await Sandbox.create('base', options)
  try {
    return await body(sandbox)
  } finally {
    await sandbox.kill()
  }
}

async function listAll(options) {
  const paginator = Sandbox.list(options)
  const found = []
  while (paginator.hasNext) found.push(...(await paginator.nextItems()))
  return found
}

// --- lifecycle ---------------------------------------------------------------------------------

await test('create, run a command, kill', async () => {
  const sandbox = await Sandbox.create()
  assert.match(sandbox.sandboxId, /^i[a-z0-9]{20}$/)
  assert.equal(await sandbox.isRunning(), true)
  assert.equal((await sandbox.commands.run('echo hello')).stdout, 'hello\n')
  assert.equal(await sandbox.kill(), true)
  assert.equal(await sandbox.isRunning(), false)
  assert.equal(await sandbox.kill(), false)
  await assert.rejects(Sandbox.connect(sandbox.sandboxId), NotFoundError)
})

await test('create from a template by alias, tag and id', async () => {
  const id = await withSandbox({}, async (s) => (await s.getInfo()).templateId)
  for (const name of ['base:default', id]) {
    const sandbox = await Sandbox.create(name)
    assert.equal((await sandbox.getInfo()).templateId, id)
    await sandbox.kill()
  }
})

await test('errors of create have their types', async () => {
  await assert.rejects(Sandbox.create('no-such-template'), /no-such-template/)
  await assert.rejects(Sandbox.create('Not A Name'), (e) => e.message.length > 0)
  await assert.rejects(Sandbox.create('base', { apiKey: `e2b_${'0'.repeat(40)}` }), AuthenticationError)
  await assert.rejects(Sandbox.create('base', { timeoutMs: 1000 * 3600 * 24 * 365 }), /[Tt]imeout/)
})

await test('connect by id sees the same sandbox', async () => {
  await withSandbox({}, async (sandbox) => {
    await sandbox.files.write('/home/user/mark', 'one')
    const other = await Sandbox.connect(sandbox.sandboxId)
    assert.equal(other.sandboxId, sandbox.sandboxId)
    assert.equal(await other.files.read('/home/user/mark'), 'one')
  })
})

await test('metadata and list', async () => {
  const tag = randomBytes(8).toString('hex')
  await withSandbox({ metadata: { tag, kind: 'a b&c=d/é' } }, async (one) => {
    await withSandbox({ metadata: { tag, kind: 'x' } }, async (two) => {
      const both = await listAll({ query: { metadata: { tag } } })
      assert.deepEqual(both.map((s) => s.sandboxId).sort(), [one.sandboxId, two.sandboxId].sort())
      const first = await listAll({ query: { metadata: { tag, kind: 'a b&c=d/é' } } })
      assert.deepEqual(first.map((s) => s.sandboxId), [one.sandboxId])
      assert.deepEqual(first[0].metadata, { tag, kind: 'a b&c=d/é' })
      assert.equal(first[0].state, 'running')
      assert.equal((await listAll({ query: { metadata: { tag: 'none' } } })).length, 0)
      const pages = Sandbox.list({ query: { metadata: { tag } }, limit: 1 })
      const seen = [await pages.nextItems(), await pages.nextItems()].flat()
      assert.equal(new Set(seen.map((s) => s.sandboxId)).size, 2)
    })
  })
  assert.equal((await listAll({ query: { metadata: { tag } } })).length, 0)
})

await test('info says when it began and ends', async () => {
  await withSandbox({ timeoutMs: 120_000 }, async (sandbox) => {
    const info = await sandbox.getInfo()
    assert.equal(info.sandboxId, sandbox.sandboxId)
    assert.equal(info.endAt - info.startedAt, 120_000)
    await sandbox.setTimeout(600_000)
    assert.ok((await sandbox.getInfo()).endAt - info.endAt >= 400_000)
  })
})

await test('a timeout ends the sandbox, and not before', async () => {
  const sandbox = await Sandbox.create('base', { timeoutMs: 4_000 })
  const { endAt, startedAt } = await sandbox.getInfo()
  assert.equal(endAt - startedAt, 4_000)
  const born = Date.now()
  while (Date.now() < born + 2_000) {
    assert.equal(await sandbox.isRunning(), true)
    await sleep(200)
  }
  await until('the sandbox has ended', async () => !(await sandbox.isRunning()))
  assert.ok(Date.now() >= endAt.getTime(), 'ended early')
  await assert.rejects(sandbox.commands.run('true'), (e) => e instanceof TimeoutError || e instanceof NotFoundError)
})

await test('shortening the timeout ends it', async () => {
  const sandbox = await Sandbox.create('base', { timeoutMs: 600_000 })
  await sandbox.setTimeout(1_000)
  await until('the sandbox has ended', async () => !(await sandbox.isRunning()))
})

await test('environment of create reaches every command', async () => {
  await withSandbox({ envs: { FROM_CREATE: 'a b', BOTH: 'create' } }, async (sandbox) => {
    const { stdout } = await sandbox.commands.run('echo "$FROM_CREATE|$BOTH"')
    assert.equal(stdout, 'a b|create\n')
    const own = await sandbox.commands.run('echo "$FROM_CREATE|$BOTH"', { envs: { BOTH: 'command' } })
    assert.equal(own.stdout, 'a b|command\n')
  })
})

await test('a limit of the sandbox is told where it was met', async () => {
  await withSandbox({}, async (sandbox) => {
    await assert.rejects(sandbox.commands.run('head -c 64G /dev/zero | tail', { timeoutMs: limit(60_000) }), (e) => {
      assert.ok(e instanceof CommandExitError)
      assert.equal(e.exitCode, 137)
      assert.match(e.message, /^exit status 137: the sandbox ran out of memory \(limit /)
      assert.equal(e.error, e.message)
      return true
    })
    await assert.rejects(sandbox.commands.run('fallocate -l 1T /fill', { user: 'root' }),
      /^CommandExitError: exit status 1: the sandbox's disk is full/)
    await assert.rejects(sandbox.files.write('/home/user/more', 'x'.repeat(1 << 20)), (e) => {
      assert.ok(e instanceof NotEnoughSpaceError)
      assert.match(e.message, /disk is full/)
      return true
    })
    assert.equal((await sandbox.getInfo()).sandboxId, sandbox.sandboxId) // with its totals
  })
})

// --- one sandbox for the rest ------------------------------------------------------------------

const box = await Sandbox.create('base', { timeoutMs: 1_200_000 })
const run = (command, options) => box.commands.run(command, { timeoutMs: limit(60_000), ...options })

await test('stdout, stderr and exit code', async () => {
  const result = await run('echo out; echo err >&2')
  assert.equal(result.stdout, 'out\n')
  assert.equal(result.stderr, 'err\n')
  assert.equal(result.exitCode, 0)
  await assert.rejects(run('echo partial; exit 42'), (e) => {
    assert.ok(e instanceof CommandExitError)
    assert.equal(e.exitCode, 42)
    assert.equal(e.stdout, 'partial\n')
    return true
  })
  await assert.rejects(run('no-such-command-xyz'), (e) => e.exitCode === 127)
})

await test('python and node of the template', async () => {
  assert.equal((await run('python3 -c "print(1+1)"')).stdout, '2\n')
  assert.equal((await run(`node -e 'console.log(6*7)'`)).stdout, '42\n')
  assert.match((await run('pip --version && npm --version && git --version')).stdout, /git version/)
})

await test('user, root, sudo, working directory', async () => {
  assert.equal((await run('whoami; pwd')).stdout, 'user\n/home/user\n')
  assert.equal((await run('whoami; pwd', { user: 'root' })).stdout, 'root\n/root\n')
  assert.equal((await run('sudo -n whoami')).stdout, 'root\n')
  assert.equal((await run('pwd', { cwd: '/usr/lib' })).stdout, '/usr/lib\n')
  await assert.rejects(run('pwd', { cwd: '/no/such/folder' }), InvalidArgumentError)
})

await test('environment of a command', async () => {
  const { stdout } = await run('echo "$A-$B-$HOME"', { envs: { A: '1', B: 'zwei drei' } })
  assert.equal(stdout, '1-zwei drei-/home/user\n')
})

await test('output arrives while the command runs', async () => {
  const parts = []
  let waiting = true
  const command = await run('echo first; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo second', {
    background: true,
    onStdout: (text) => void parts.push(text),
  })
  const finished = command.wait().then((r) => ((waiting = false), r))
  await until('the first line is here', () => parts.join('') === 'first\n')
  assert.equal(waiting, true)
  await box.files.write('/tmp/go', '')
  assert.equal((await finished).stdout, 'first\nsecond\n')
  assert.equal(parts.join(''), 'first\nsecond\n')
})

await test('much output is whole', async () => {
  const result = await run('seq 1 200000')
  let expected = ''
  for (let i = 1; i <= 200000; i++) expected += `${i}\n`
  assert.equal(sha256(result.stdout), sha256(expected))
})

await test('output in UTF-8, cut anywhere', async () => {
  const { stdout } = await run(`python3 -c "
import sys, time
for b in 'grün €𝄞'.encode():
    sys.stdout.buffer.write(bytes([b])); sys.stdout.buffer.flush(); time.sleep(0.01)"`)
  assert.equal(stdout, 'grün €𝄞')
})

await test('stdin, and its end', async () => {
  const command = await run('cat; echo end', { background: true, stdin: true })
  await box.commands.sendStdin(command.pid, 'one\n')
  await box.commands.sendStdin(command.pid, 'two\n')
  await until('it is echoed', () => command.stdout.includes('two'))
  await box.commands.closeStdin(command.pid)
  assert.equal((await command.wait()).stdout, 'one\ntwo\nend\n')
})

await test('background: list, connect, kill', async () => {
  const command = await run('echo started; exec sleep 1000', { background: true })
  const listed = (await box.commands.list()).find((p) => p.pid === command.pid)
  assert.ok(listed, 'the command is in the list')
  const other = await box.commands.connect(command.pid)
  assert.equal(await command.kill(), true)
  await assert.rejects(command.wait(), CommandExitError)
  await assert.rejects(other.wait(), CommandExitError)
  assert.equal((await box.commands.list()).some((p) => p.pid === command.pid), false)
  assert.equal(await box.commands.kill(command.pid), false)
})

await test('a background command outlives its connection', async () => {
  const command = await run('while [ ! -e /tmp/go2 ]; do sleep 0.05; done; echo x > /tmp/done2', {
    background: true,
  })
  await command.disconnect()
  await box.files.write('/tmp/go2', '')
  await until('it went on', () => box.files.exists('/tmp/done2'))
})

await test('a command that is too slow is a timeout', async () => {
  await assert.rejects(run('sleep 1000', { timeoutMs: 2_000 }), TimeoutError)
})

await test('many commands at once', async () => {
  const all = await Promise.all([...Array(20).keys()].map((i) => run(`sleep 0.1; echo ${i}`)))
  assert.deepEqual(all.map((r) => r.stdout.trim()), [...Array(20).keys()].map(String))
})

// --- files -------------------------------------------------------------------------------------

await test('text: write, read, overwrite', async () => {
  const info = await box.files.write('dir/new/hello.txt', 'grün €\n')
  assert.equal(info.path, '/home/user/dir/new/hello.txt')
  assert.equal(await box.files.read('dir/new/hello.txt'), 'grün €\n')
  await box.files.write('/home/user/dir/new/hello.txt', 'x')
  assert.equal(await box.files.read('~/dir/new/hello.txt'), 'x')
  assert.equal((await run('stat -c %U:%a dir/new/hello.txt dir')).stdout, 'user:644\nuser:755\n')
  await box.files.write('empty', '')
  assert.equal(await box.files.read('empty'), '')
})

await test('bytes, blobs and streams', async () => {
  const bytes = randomBytes(300_000)
  await box.files.write('bytes', bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))
  assert.equal(sha256(await box.files.read('bytes', { format: 'bytes' })), sha256(bytes))
  const blob = await box.files.read('bytes', { format: 'blob' })
  assert.equal(sha256(new Uint8Array(await blob.arrayBuffer())), sha256(bytes))
  await box.files.write('blob', new Blob([bytes]))
  await box.files.write('stream', new Blob([bytes]).stream())
  assert.equal((await run('sha256sum < blob; sha256sum < stream')).stdout.split('\n').slice(0, 2).join(),
    `${sha256(bytes)}  -,${sha256(bytes)}  -`)
  const hash = createHash('sha256')
  for await (const part of await box.files.read('stream', { format: 'stream' })) hash.update(part)
  assert.equal(hash.digest('hex'), sha256(bytes))
})

await test('several files in one call', async () => {
  const infos = await box.files.write([
    { path: 'many/a', data: 'A' },
    { path: 'many/b', data: new Blob(['B']) },
  ])
  assert.deepEqual(infos.map((i) => i.path), ['/home/user/many/a', '/home/user/many/b'])
  assert.equal((await run('cat many/a many/b')).stdout, 'AB')
})

await test('100 MB both ways', async () => {
  const bytes = Buffer.alloc(BIG_BYTES)
  for (let at = 0; at < BIG_BYTES; at += 65536) randomBytes(64).copy(bytes, at)
  await box.files.write('/tmp/big', new Blob([bytes]), { requestTimeoutMs: 300_000 })
  assert.equal((await run('sha256sum < /tmp/big')).stdout, `${sha256(bytes)}  -\n`)
  const hash = createHash('sha256')
  let size = 0
  const stream = await box.files.read('/tmp/big', { format: 'stream', requestTimeoutMs: 300_000 })
  for await (const part of stream) {
    hash.update(part)
    size += part.length
  }
  assert.equal(size, BIG_BYTES)
  assert.equal(hash.digest('hex'), sha256(bytes))
  await box.files.remove('/tmp/big')
}, 300_000)

await test('directories: make, list, rename, remove', async () => {
  assert.equal(await box.files.makeDir('tree/a/b'), true)
  assert.equal(await box.files.makeDir('tree/a/b'), false)
  await box.files.write('tree/file', '12345')
  const entries = await box.files.list('tree')
  assert.deepEqual(entries.map((e) => [e.name, e.type]).sort(), [['a', 'dir'], ['file', 'file']])
  const deep = await box.files.list('tree', { depth: 2 })
  assert.deepEqual(deep.map((e) => e.path).sort(),
    ['/home/user/tree/a', '/home/user/tree/a/b', '/home/user/tree/file'])
  const moved = await box.files.rename('tree/file', 'tree/a/moved')
  assert.equal(moved.path, '/home/user/tree/a/moved')
  assert.equal(await box.files.exists('tree/file'), false)
  assert.equal(await box.files.exists('tree/a/moved'), true)
  await box.files.remove('tree')
  assert.equal(await box.files.exists('tree'), false)
})

await test('entry information', async () => {
  await box.files.write('info', '12345')
  await run('chmod 640 info; ln -sf info link')
  const info = await box.files.getInfo('info')
  assert.equal(info.size, 5)
  assert.equal(info.permissions, '-rw-r-----')
  assert.equal(info.owner, 'user')
  assert.ok(Math.abs(info.modifiedTime - Date.now()) < 600_000)
  assert.equal((await box.files.getInfo('link')).symlinkTarget, '/home/user/info')
})

await test('errors of files have their types', async () => {
  const missing = e2b.FileNotFoundError ?? NotFoundError
  await assert.rejects(box.files.read('no/such/file'), missing)
  await assert.rejects(box.files.list('no/such/folder'), missing)
  await assert.rejects(box.files.getInfo('no/such/file'), missing)
  await assert.rejects(box.files.list('info'), InvalidArgumentError)
  await assert.rejects(box.files.read('/home/user'), InvalidArgumentError)
})

await test('files of root', async () => {
  await box.files.write('secret', 'r', { user: 'root' })
  assert.equal((await run('sudo -n stat -c %U /root/secret')).stdout, 'root\n')
  assert.equal(await box.files.read('/root/secret', { user: 'root' }), 'r')
})

// --- ports -------------------------------------------------------------------------------------

await test('a web server over its host name', async () => {
  await box.files.write('site/index.html', '<h1>silica</h1>')
  const server = await run('python3 -m http.server 8000 --directory site', { background: true })
  const url = `http://${box.getHost(8000)}`
  await until('the server listens', async () => (await fetch(url)).status === 200)
  assert.equal(await (await fetch(`${url}/index.html`)).text(), '<h1>silica</h1>')
  assert.equal((await fetch(`${url}/none`)).status, 404)
  await server.kill()
})

await test('a closed port and an unknown sandbox are 502 with their names', async () => {
  const closed = await fetch(`http://${box.getHost(8999)}`)
  assert.equal(closed.status, 502)
  const body = await closed.json()
  assert.equal(body.sandboxId, box.sandboxId)
  assert.equal(body.port, 8999)
  assert.equal(body.code, 502)
  const id = `i${'0'.repeat(20)}`
  const unknown = await fetch(`http://${box.getHost(8000).replace(box.sandboxId, id)}`)
  assert.equal(unknown.status, 502)
  assert.equal((await unknown.json()).sandboxId, id)
})

await test('WebSocket', async () => {
  await box.files.write('ws_echo.py', shared('ws_echo.py'))
  const server = await run('python3 -u ws_echo.py 8765', { background: true })
  await until('the server listens', () => server.stdout.includes('listening'))
  const socket = new WebSocket(`ws://${box.getHost(8765)}/path`)
  socket.binaryType = 'arraybuffer'
  const arrived = []
  let wake = () => {}
  socket.onmessage = (event) => void (arrived.push(event.data), wake())
  await new Promise((resolve, reject) => {
    socket.onopen = resolve
    socket.onerror = (e) => reject(e.error ?? new Error('the WebSocket failed'))
  })
  const messages = ['text é', randomBytes(100), randomBytes(70_000), randomBytes(1_000_000)]
  for (const message of messages) {
    const next = new Promise((resolve) => (wake = resolve))
    socket.send(message)
    await next
    const back = arrived.pop()
    if (typeof message === 'string') assert.equal(back, message)
    else assert.equal(sha256(new Uint8Array(back)), sha256(message))
  }
  const closed = new Promise((resolve) => (socket.onclose = resolve))
  socket.close()
  await closed
  await server.kill()
})

await test('killing the sandbox ends what hangs on it', async () => {
  const command = await run('sleep 1000', { background: true })
  const ended = command.wait().then(() => 'ended well', () => 'failed')
  assert.equal(await box.kill(), true)
  assert.equal(await ended, 'failed')
})

await box.kill()
done()
