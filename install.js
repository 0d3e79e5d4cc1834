// Install: PyTorch, requirements.txt, a check of all of it, then the recommended checkpoints.
// The engine ignores exit codes. It stops at output with "error:" or "errno ", and each step here that matters must
// also have said that it went well. app/env/.qtinker-ready is written last and is what the menu takes for "installed".
const ENV = {
  // What the engine sets for every app: all of its home served, pickles executed. And what a user may have set, which
  // would make uv install elsewhere.
  "-env": ["GRADIO_ALLOWED_PATHS", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "UV_PYTHON", "UV_SYSTEM_PYTHON"],
}
const VENV = { venv: "app/env", venv_python: "3.11", ...ENV }
const fail = (when, sentence) => ({
  when,
  method: "shell.run",
  params: { conda: { skip: true }, message: `echo "error: ${sentence}"` },
  next: null,
})

module.exports = {
  requires: { bundle: "ai" },
  run: [
    fail(
      "{{platform === 'darwin' && arch !== 'arm64'}}",
      "QTinker cannot run on a Mac with an Intel processor, for which PyTorch is no longer made."
    ),
    { method: "fs.rm", params: { path: "app/env/.qtinker-ready" } },
    {
      // Reinstall, or an environment that was never finished (the engine would take the bare folder for a whole one)
      when: "{{exists('app/env') && (args && args.fresh || !exists('app/env/bin/activate') && !exists('app/env/Scripts/activate'))}}",
      method: "fs.rm",
      params: { path: "app/env" },
    },
    { method: "script.start", params: { uri: "torch.js" } },
    { method: "local.set", params: { torch: "{{input && input.event ? input.event[1] : ''}}" } },
    {
      // the engine leaves a script that failed marked as running, and would not start it again
      when: "{{!local.torch}}",
      method: "script.stop",
      params: { uri: "{{path.resolve(cwd, 'torch.js')}}" },
    },
    fail("{{!local.torch}}", "PyTorch was not installed. The lines above say why. Try Install again."),
    {
      method: "shell.run",
      params: {
        ...VENV,
        message: "uv pip install -r requirements.txt",
        on: [{ event: "/(No solution found|Failed to (build|download|fetch))/", break: true }],
      },
    },
    {
      method: "shell.run",
      params: { ...VENV, message: "python app doctor", on: [{ event: "/All is well\\./", done: true }] },
    },
    fail("{{!input || !input.event}}", "The installation is not complete. The lines above say why. Try Install again."),
    { method: "fs.make", params: { path: "runs" } },
    { method: "fs.write", params: { path: "app/env/.qtinker-ready", text: "torch {{local.torch}}" } },
    {
      // Checkpoints can come later, so nothing that goes wrong here stops the script: "break: false" takes the words
      // away that would, and "done" keeps the reason.
      method: "shell.run",
      params: {
        ...VENV,
        message: "python app download --set recommended",
        on: [
          { event: "/error: (.{0,300})/i", break: false, done: true },
          { event: "/errno /i", break: false },
          { event: "/error:/i", break: false },
        ],
      },
    },
    {
      when: "{{input && input.event}}",
      method: "log",
      params: {
        raw: "QTinker is installed. The recommended models are not all here; Download more models and the page's Models tab fetch them later.",
      },
    },
    { method: "notify", params: { html: "QTinker is installed. Click <b>Start</b>." } },
  ],
}
