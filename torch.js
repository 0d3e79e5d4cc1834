// PyTorch for this machine, installed once: exactly one of the branches below runs, and it ends the script.
// Started by install.js and update.js, which go on only if its result holds the event "torch VERSION is here".
//
// Which builds of 2.13 exist and what they run on: https://github.com/pytorch/pytorch/blob/release/2.13/RELEASE.md
//   cu130     driver 580 or newer; Turing to Blackwell
//   cu126     driver 525 (Windows: 528) or newer; Maxwell to Hopper, and the only one left for cards before Turing
//   rocm7.2   AMD on Linux (there is no build for Windows, and none for DirectML)
//   cpu       everything else; PyPI's build for Apple Silicon, which has Metal in it
// The build is part of the version (2.13.0+cu130), so that another one that is there already is replaced, and so that
// requirements.txt, which asks for torch==2.13.0, is content with it.
const TORCH = "2.13.0"
const INDEX = "https://download.pytorch.org/whl"

// Expressions for "when". A name may be missing in some version of the engine, hence typeof; no line breaks and no
// two braces in a row, which the engine would take for the end of the expression.
const CARDS = `(typeof graphics === 'undefined' || !graphics ? [] : graphics.controllers || []).filter(c => /nvidia/i.test(c.vendor || ''))`
const NAMES = `(${CARDS}.map(c => (c.name || '') + ' ' + (c.model || '')).join(', ') || (typeof gpu_model === 'undefined' ? '' : gpu_model || ''))`
// 580 of "580.95.05" (nvidia-smi) or of "32.0.15.8095" (Windows); 0 where nothing tells
const MAJOR = `(v => { const w = v.match(/^[0-9]+[.][0-9]+[.]([0-9]+)[.]([0-9]+)$/); return w ? Math.floor(+(w[1] + w[2]).slice(-5) / 100) : parseInt(v) || 0 })`
const DRIVER = `Math.max(0, ...${CARDS}.map(c => ${MAJOR}(String(c.driverVersion || ''))))`
const BEFORE_TURING = `/\\b(gtx *([6-9]|10)[0-9][0-9]|gtx *titan|titan *(x|xp|v|z|black)\\b|tesla *[kmpv][0-9]|quadro *([kmp][0-9]|g[pv]100)|gt *[0-9]+|mx *[123][0-9][0-9]|geforce *[89][0-9][0-9](a|m|mx)?\\b|nvs *[0-9]+|v100|p100|p40|p4\\b|m60|m40|gm[0-9]+|gp[0-9]+|gv100)/i.test(${NAMES})`
const BLACKWELL = `/\\b(rtx *50[0-9]0|rtx *pro *[0-9]+|blackwell|g?b[123]0[0-9]?)/i.test(${NAMES})`

const NVIDIA = `(gpu === 'nvidia' && (platform === 'linux' || platform === 'win32' && arch === 'x64'))`
const LEAST = `(platform === 'win32' ? 528 : 525)`
const CU130 = `(${NVIDIA} && (!${BEFORE_TURING} || ${BLACKWELL}) && (${DRIVER} >= 580 || ${DRIVER} === 0 && ${BLACKWELL}))`
const CU126 = `(${NVIDIA} && !${BLACKWELL} && (${DRIVER} === 0 || ${DRIVER} >= ${LEAST}) && (${BEFORE_TURING} || ${DRIVER} < 580))`
const ROCM = `(gpu === 'amd' && platform === 'linux' && arch === 'x64')`
const APPLE = `(platform === 'darwin' && arch === 'arm64')`
const INTEL_MAC = `(platform === 'darwin' && arch !== 'arm64')`
const CPU = `(platform !== 'darwin' && !${CU130} && !${CU126} && !${ROCM})`

// QTINKER_TORCH_INDEX (in Pinokio's or this app's ENVIRONMENT) names a mirror of the index
const from = (build) => ` --index-url {{typeof env !== 'undefined' && env.QTINKER_TORCH_INDEX || '${INDEX}/${build}'}}`
const branch = (when, version, index) => ({
  when: `{{${when}}}`,
  method: "shell.run",
  params: {
    venv: "app/env",
    venv_python: "3.11",
    "-env": ["GRADIO_ALLOWED_PATHS", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "UV_PYTHON", "UV_SYSTEM_PYTHON"], // as in install.js
    message: [
      `uv pip install "torch==${version}"${index}`,
      `python -c "from importlib.metadata import version as v; print('torch', v('torch'), 'is here')"`,
    ],
    on: [
      { event: "/(No solution found|Failed to (build|download|fetch))/", break: true },
      { event: "/torch (\\S+) is here/", done: true },
    ],
  },
  next: null,
})

module.exports = {
  run: [
    {
      when: `{{${INTEL_MAC}}}`,
      method: "shell.run",
      params: {
        conda: { skip: true },
        message: `echo "error: QTinker cannot run on a Mac with an Intel processor, for which PyTorch is no longer made."`,
      },
      next: null,
    },
    {
      when: `{{${NVIDIA} && ${CPU}}}`,
      method: "log",
      params: {
        raw: "The driver of the NVIDIA card is too old for PyTorch, so the processor will be used. For the card: install driver 580 or newer (nvidia.com/drivers), then Update.",
      },
    },
    branch(CU130, `${TORCH}+cu130`, from("cu130")),
    branch(CU126, `${TORCH}+cu126`, from("cu126")),
    branch(ROCM, `${TORCH}+rocm7.2`, from("rocm7.2")),
    branch(APPLE, TORCH, ""),
    branch(CPU, `${TORCH}+cpu`, from("cpu")),
  ],
}
