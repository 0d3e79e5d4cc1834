// Download more models: the set comes from the menu. A download that was cut goes on where it stopped.
const SETS = ["recommended", "students", "teachers", "large", "multilingual", "all"]
module.exports = {
  run: [
    {
      method: "shell.run",
      params: {
        venv: "app/env",
        "-env": ["GRADIO_ALLOWED_PATHS", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"], // as in install.js
        // one of the known words, since it becomes part of a command
        message: `python app download --set {{${JSON.stringify(SETS)}.find(s => args && args.set === s) || 'recommended'}}`,
      },
    },
    { method: "notify", params: { html: "The models are here." } },
  ],
}
