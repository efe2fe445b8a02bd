"""Every name of a file or folder that an installed bundle has on a site. Pure.

::

    <site>/offline/
      current -> releases/<id12>      switched in one step
      previous -> releases/<id12>     what rollback goes back to
      releases/<id12>/
        bundle.json  bundle.json.sig  as they came
        load.json                     how it was verified, when it was loaded
        files/config/stack.yml        the packed stack, files/config/settings.env its settings without secrets
        files/engine/                 a llama-server and its libraries, where the bundle brought one
        files/...                     wheels, SBOM, licences, rendered configuration
      store/models/<digest16>/        each model once, whichever releases use it
      staging/<id12>/                 what is being loaded; nothing reads it but the loader
      receipts/                       what offline-prove wrote
      site.key  site.pub              what this site signs receipts with
      lock                            held while releases change, and while one is proved
"""

from __future__ import annotations

from pathlib import PurePosixPath

OFFLINE_FOLDER = "offline"
CURRENT = "current"
PREVIOUS = "previous"
RELEASES = "releases"
STAGING = "staging"
RECEIPTS = "receipts"
SITE_KEY = "site.key"
SITE_PUBLIC_KEY = "site.pub"
LOCK = "lock"
LOAD_RECORD = "load.json"
FILES = "files"
MODEL_STORE = PurePosixPath("store") / "models"

CONFIG_FOLDER = "config"
STACK_FILE = f"{CONFIG_FOLDER}/stack.yml"
SETTINGS_FILE = f"{CONFIG_FOLDER}/settings.env"
KNOWN_ANSWER_FILE = f"{CONFIG_FOLDER}/known-answer.json"
RENDERED_FOLDER = "rendered"
WHEELS_FOLDER = "wheels"
ENGINE_FILES = "engine"
SBOM_FILE = "sbom.cdx.json"
LICENCES_FILE = "licences.txt"


def is_program(path: str) -> bool:
    """Whether a file of a release, by its path there, is to be run."""
    return path.startswith(f"{ENGINE_FILES}/")


def model_folder(digest: str) -> PurePosixPath:
    """Where a model's files lie under ``offline/``; the files of a split model lie beside each other."""
    return MODEL_STORE / digest[:16]
