// The menu in Pinokio, by state. An Open button is shown only for an address that the running server has printed.
const fs = require("fs")
const path = require("path")

const busy = (text, href) => ({ default: true, icon: "fa-solid fa-terminal", text, href })
const folder = (icon, text, href) => (fs.existsSync(href) ? [{ icon, text, href, fs: true }] : [])
const set = (name, text) => ({ icon: "fa-solid fa-download", text, href: "download.js", params: { set: name } })

module.exports = {
  version: "7.0",
  title: "QTinker",
  description: "Makes a big BERT small: distil, quantize and measure, on your own computer.",
  icon: "icon.png",
  menu: async (kernel, info) => {
    if (info.running("install.js")) return [busy("Installing", "install.js")]
    if (info.running("update.js")) return [busy("Updating", "update.js")]
    if (info.running("reset.js")) return [busy("Resetting", "reset.js")]
    if (info.running("link.js")) return [busy("Saving disk space", "link.js")]

    if (info.running("start.js")) {
      const url = info.local("start.js").url
      const script = path.resolve(__dirname, "start.js")
      const alive = kernel.shell.shells.some((shell) => shell.group === script)
      if (!/^http:\/\/127\.0\.0\.1:\d+$/.test(url || "")) return [busy("Starting", "start.js")]
      if (!alive) {
        return [
          busy("QTinker has ended: see why", "start.js"),
          { icon: "fa-solid fa-rotate-left", text: "Close it", action: { method: "stop", uri: "start.js" } },
        ]
      }
      const home = (await kernel.env(__dirname)).QTINKER_HOME || __dirname
      return [
        { default: true, icon: "fa-solid fa-rocket", text: "Open", href: url },
        { icon: "fa-solid fa-terminal", text: "Terminal", href: "start.js" },
        ...folder("fa-solid fa-chart-line", "Runs folder", path.resolve(home, "runs")),
        ...folder("fa-solid fa-cubes", "Models folder", path.resolve(home, "bert_models")),
        ...(info.running("download.js") ? [{ ...busy("Downloading", "download.js"), default: false }] : []),
      ]
    }

    if (!info.exists("app/env/.qtinker-ready")) {
      return [{ default: true, icon: "fa-solid fa-plug", text: "Install", href: "install.js" }]
    }
    if (info.running("download.js")) {
      return [
        busy("Downloading", "download.js"),
        { icon: "fa-solid fa-power-off", text: "Start", href: "start.js" },
      ]
    }
    return [
      { default: true, icon: "fa-solid fa-power-off", text: "Start", href: "start.js" },
      { icon: "fa-solid fa-arrows-rotate", text: "Update", href: "update.js" },
      {
        icon: "fa-solid fa-download",
        text: "Download more models",
        menu: [
          set("recommended", "Recommended (the first five)"),
          set("students", "Students (small ones)"),
          set("teachers", "Teachers (big ones)"),
          set("large", "BERT-Large"),
          set("multilingual", "Multilingual and Chinese"),
          set("all", "All of them"),
        ],
      },
      { icon: "fa-solid fa-broom", text: "Save disk space", href: "link.js" },
      {
        icon: "fa-solid fa-plug",
        text: "Reinstall",
        href: "install.js",
        params: { fresh: "yes" },
        confirm: "Remove the environment and install it anew? Models and runs are kept.",
      },
      {
        icon: "fa-regular fa-circle-xmark",
        text: "Reset",
        menu: [
          {
            icon: "fa-regular fa-circle-xmark",
            text: "Remove the installation, keep models and runs",
            href: "reset.js",
            confirm: "Remove the environment? Models and runs are kept.",
          },
          {
            icon: "fa-solid fa-trash",
            text: "Remove everything, models and runs too",
            href: "reset.js",
            params: { everything: "yes" },
            confirm: "Delete the environment AND all models and runs? This can't be undone.",
          },
        ],
      },
    ]
  },
}
