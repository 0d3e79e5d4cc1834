// Reset: removes the environment. Models and runs stay, unless the menu's "and delete everything" asks for more.
module.exports = {
  run: [
    { method: "fs.rm", params: { path: "app/env" } },
    { when: "{{args && args.everything}}", method: "fs.rm", params: { path: "runs" } },
    { when: "{{args && args.everything}}", method: "fs.rm", params: { path: "sweeps" } },
    { when: "{{args && args.everything}}", method: "fs.rm", params: { path: "cache" } },
    { when: "{{args && args.everything}}", method: "fs.rm", params: { path: "ui.log" } },
    { when: "{{args && args.everything}}", method: "fs.rm", params: { path: "bert_models" } },
    {
      when: "{{args && args.everything}}",
      method: "shell.run",
      params: { message: "git checkout -- bert_models" }, // the empty folder belongs to the checkout
    },
  ],
}
