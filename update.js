// Update: pull, then install what changed. The environment is kept; so are models and runs.
const ENV = { "-env": ["GRADIO_ALLOWED_PATHS", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "UV_PYTHON", "UV_SYSTEM_PYTHON"] } // as in install.js
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
    {
      method: "shell.run",
      params: {
        message: "git pull --ff-only",
        on: [{ event: "/fatal:/i", break: true }], // git's word, which the engine doesn't know
      },
    },
    { method: "script.start", params: { uri: "torch.js" } },
    { method: "local.set", params: { torch: "{{input && input.event ? input.event[1] : ''}}" } },
    { when: "{{!local.torch}}", method: "script.stop", params: { uri: "{{path.resolve(cwd, 'torch.js')}}" } },
    fail("{{!local.torch}}", "PyTorch was not installed. The lines above say why. Try Update again."),
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
    fail("{{!input || !input.event}}", "The update is not complete. The lines above say why. Try Update or Reinstall."),
    { method: "fs.write", params: { path: "app/env/.qtinker-ready", text: "torch {{local.torch}}" } },
    { method: "notify", params: { html: "QTinker is up to date. Click <b>Start</b>." } },
  ],
}
