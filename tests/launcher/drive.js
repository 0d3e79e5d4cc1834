// Runs the real Pinokio engine and obeys one JSON command a line; answers each with one JSON line on standard output.
//   node drive.js FOLDER     FOLDER holds node_modules/pinokiod; HOME and PINOKIO_HOME say where the engine lives
// What the engine itself prints goes to standard error. It does what Pinokio's window does: a script that reports an
// error is stopped ("watch": false leaves that out, as when no window shows the script).
const path = require("path")
const readline = require("readline")

const answer = (() => {
  const write = process.stdout.write.bind(process.stdout)
  console.log = console.info = console.warn = console.time = console.timeEnd = (...words) => console.error(...words)
  process.stdout.write = (text) => process.stderr.write(text)
  return (value) => write(JSON.stringify(value) + "\n")
})()
process.on("unhandledRejection", (reason) => console.error("unhandledRejection", reason))

const engine = path.resolve(process.argv[2], "node_modules/pinokiod")
const Kernel = require(path.resolve(engine, "kernel"))
const kernel = new Kernel()
const sessions = {} // by script: what it has said, and how it ended

const hear = (packet) => {
  for (const [id, session] of Object.entries(sessions)) {
    const own = packet.id === id
    if (!own && packet.caller !== id) continue
    const { type, data } = packet
    if (data && data.raw) session.raw += data.raw
    if (type === "result" && own && data && data.stdout) session.output += data.stdout
    if (type === "error") {
      session.errors.push(typeof data === "string" ? data : JSON.stringify(data))
      session.events.push(...(packet.event || []))
      if (session.watch) kernel.api.stop({ params: { uri: id } })
      session.end("error")
    }
    if (type === "notify") session.notified.push(data.html)
    if (type === "start" && own && data) session.steps.push(data.current === undefined ? data.title : data.current)
    // a daemon ends by "start" with a title, any other script by "disconnect"
    if (type === "start" && own && data && data.title === "Started") session.end("daemon")
    if (type === "disconnect" && own) session.end("done")
  }
}

const commands = {
  async run({ uri, input, watch = true }) {
    const id = kernel.api.filePath(uri)
    const session = { raw: "", output: "", errors: [], events: [], notified: [], steps: [], watch }
    sessions[id] = session
    const ended = new Promise((resolve) => (session.end = resolve))
    await kernel.api.process({ uri, input, client: { cols: 160, rows: 40 } })
    session.how = await ended
    delete sessions[id]
    await new Promise((resolve) => setTimeout(resolve, 200)) // the engine's own stop after the last packet
    const { end, watch: _, ...told } = session
    return told
  },
  async stop({ uri }) {
    await kernel.api.stop({ params: { uri } })
    return true
  },
  // as the window asks for it: pinokio.js loaded anew, addresses worked out by the engine's server
  async menu({ app }) {
    const launcher = await kernel.api.launcher(app)
    return (await launcher.script.menu(kernel, kernel.info)).map(plain)
  },
  async local({ uri }) {
    return kernel.memory.local[kernel.api.filePath(uri)] || {}
  },
  async running() {
    return Object.keys(kernel.api.running)
  },
  async shells() {
    return kernel.shell.shells.map((shell) => ({ group: shell.group, pid: shell.ptyProcess && shell.ptyProcess.pid }))
  },
  // What a script would do on another machine: the engine's own steps and templates, with the facts that it has about
  // the machine replaced, and shells that write down what they are given and say what `says` has for it. The disk
  // is left alone.
  async dry({ uri, input, machine, says }) {
    const { resolveMethod } = kernel.api
    const real = { resolveMethod, launch: kernel.shell.launch, vals: { ...kernel.template.vals }, info: kernel.sys.info }
    const shells = []
    const removed = []
    kernel.sys.info = { ...real.info, ...machine } // the engine copies these into its templates before each step
    kernel.shell.launch = async (params) => {
      const { message, venv, venv_python, env } = params
      shells.push({ message, venv, venv_python, env, without: params["-env"] || [] })
      const output = says.filter(([part]) => String(message).includes(part)).map(([, text]) => text).join(" ")
      for (const { event, done } of params.on || []) {
        const [, source, flags] = /^\/(.+)\/([a-z]*)$/.exec(event)
        const found = done && new RegExp(source, flags).exec(output)
        if (found) return { id: "dry", stdout: "", event: [...found] }
      }
      const error = /error:|errno /i.exec(String(message).replace(/^echo/, "") + output)
      return { id: "dry", stdout: "", response: String(message), ...(error ? { error: [error[0]] } : {}) }
    }
    kernel.api.resolveMethod = async (request, cwd) => {
      const resolved = await real.resolveMethod.call(kernel.api, request, cwd)
      if (request.method === "fs.rm") resolved.method = async ({ params }) => void removed.push(params.path)
      else if (/^fs[.]/.test(request.method)) resolved.method = async () => {}
      return resolved
    }
    try {
      const told = await commands.run({ uri, input })
      return { ...told, shells, removed }
    } finally {
      kernel.api.resolveMethod = real.resolveMethod
      kernel.shell.launch = real.launch
      kernel.sys.info = real.info
      kernel.template.vals = real.vals
    }
  },
  async quit() {
    kernel.shell.reset(() => {})
    return true
  },
}
const plain = ({ menu, ...item }) => ({ ...item, ...(menu ? { menu: menu.map(plain) } : {}) })

const main = async () => {
  await kernel.init({})
  await kernel.sysReady
  kernel.api.listen("test", hear)
  answer({ ready: true, platform: kernel.platform, gpu: kernel.sysinfo && kernel.sysinfo.gpu })
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { id, command, ...rest } = JSON.parse(line)
    commands[command](rest).then(
      (value) => answer({ id, value: value === undefined ? null : value }),
      (error) => answer({ id, error: String((error && error.stack) || error) })
    ).then(() => command === "quit" && process.exit(0))
  }
  process.exit(0)
}
main().catch((error) => {
  answer({ error: String(error.stack || error) })
  process.exit(1)
})
