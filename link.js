// Save disk space: share the environment's packages with other apps where the engine can (uv links them to its cache
// already), drop what can be made or fetched again. Models, runs and their results stay.
module.exports = {
  run: [
    { method: "fs.link", params: { venv: "app/env" } },
    {
      method: "shell.run",
      params: {
        venv: "app/env",
        "-env": ["GRADIO_ALLOWED_PATHS", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "UV_PYTHON", "UV_SYSTEM_PYTHON"], // as in install.js
        message: ["python app runs clean --yes", "uv cache prune"],
      },
    },
    { method: "notify", params: { html: "What can be made again is gone. Models and runs are kept." } },
  ],
}
