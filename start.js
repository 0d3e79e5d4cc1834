// Start: the page on a free port of this computer, 127.0.0.1. local.url is set only once the server has said that it
// answers; the menu shows Open only then. Stop ends the server and the run that it started, which can be resumed.
module.exports = {
  requires: { bundle: "ai" },
  daemon: true,
  run: [
    {
      // a second start, which the engine allows to other scripts
      when: "{{local.url}}",
      method: "log",
      params: { raw: "QTinker is running already: {{local.url}}" },
      next: null,
    },
    {
      method: "shell.run",
      params: {
        venv: "app/env",
        "-env": ["GRADIO_ALLOWED_PATHS", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"], // as in install.js
        message: "python app ui --no-open --port {{port}}",
        on: [
          // with the port in it, so that half a line or what follows the line can't pass for another address
          { event: "/QTinker is running at (http:\\/\\/127\\.0\\.0\\.1:{{port}})/", done: true },
          // a warning on the way there is none of the engine's business; where the server never gets there, it is
          { event: "/error:(?=.*QTinker is running at)/i", break: false },
          { event: "/errno (?=.*QTinker is running at)/i", break: false },
        ],
      },
    },
    { when: "{{input && input.event}}", method: "local.set", params: { url: "{{input && input.event && input.event[1]}}" } },
    {
      when: "{{!local.url}}",
      method: "shell.run",
      params: {
        conda: { skip: true },
        message: `echo "error: QTinker ended before it was ready. The lines above say why. If they do not help, Reinstall."`,
      },
      next: null,
    },
  ],
}
