"""How kernels are compiled and kept: what we do differently from numba, which this file alone knows from inside.

numba compiles each function as if it stood for itself: with two wrappers, optimised with all that it calls, as machine
code. A kernel that only others call needs none of that, and the fold was optimised anew at each of its nine levels. So
a kernel has two forms. **Whole**: called from Python, optimised once with everything it takes in. **Part**: what other
kernels take in, left as it is until the whole that it belongs to is optimised. What is written for either is shorter
than numba's own (`lowering`).

A compiled whole is kept on disk under a stamp of all that it takes in, so that an edit compiles anew what it touches.
Several processes may keep theirs in one folder at once (`ahead`).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import llvmlite.binding as llvm
import numba
from numba.core import caching as _caching
from numba.core import codegen as _codegen
from numba.core import compiler as _compiler
from numba.core import types as _types
from numba.core.compiler_machinery import register_pass
from numba.core.dispatcher import Dispatcher
from numba.core.typed_passes import NativeLowering

from . import lowering
from .trusted import fault_of_file, fault_of_folder

# What numba says of the types of its inside does not hold, or is not said.
caching: Any = _caching
codegen: Any = _codegen
compiler: Any = _compiler
types: Any = _types
njit: Any = numba.njit
_dynfunc: Any = vars(numba)["_dynfunc"]

reports = logging.getLogger("instanter.kernels")

keeping = Lock()
"""Held while a kernel is written: a process that ends meanwhile would leave half a file."""

_PACKAGE = Path(__file__).parent.parent
_OWN_FOLDER = 0o755
_OWN_FILE = 0o644
"""Everybody may read what is kept, and its owner alone write."""


class Compiled:
    """What this process has compiled or loaded of kernels so far. There is one, as there is one compiler."""

    def __init__(self) -> None:
        self.kernels: list[Any] = []
        """The wholes there are, compiled or not."""
        self.functions: set[str] = set()
        """Those compiled here, by name, whole or as a part."""
        self.wholes: list[str] = []
        """Each time that a whole was compiled or loaded, its name."""
        self.on_compile: Callable[[], None] = nobody_listens
        """Called when a kernel is compiled, whole or as a part."""
        self.on_whole: Callable[[], None] = nobody_listens
        """Called when a whole is about to be loaded or compiled."""


def nobody_listens() -> None:
    """Nobody wants to know."""


compiled = Compiled()


# Parts and wholes.


def _note(state: Any) -> None:
    compiled.functions.add(f"{state.func_id.modname}.{state.func_id.func_qualname}")
    compiled.on_compile()


def _tuned(*, wide: bool = False) -> Any:
    """Optimised in full, but a loop stays one loop: few go round often, and copies of each took a third of the time.
    Unless it is a `wide` kernel."""
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_unrolling = options.loop_vectorization = wide
    options.slp_vectorization = False
    return options


class _Library(codegen.JITCodeLibrary):
    """Code as it comes from one function: made small by itself first, so that it is taken in where it is called."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout
        builder = llvm.create_pass_builder(self._codegen._tm, _tuned())
        passes = builder.getFunctionPassManager()
        for function in ll_module.functions:
            passes.run(function, builder)


class _PartLibrary(_Library):
    """Code that is neither optimised nor made machine code, but taken in by others."""

    def finalize(self) -> None:
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage == llvm.Linkage.external:
                function.linkage = "linkonce_odr"
        self._finalized = True

    def _get_module_for_linking(self) -> Any:
        self._ensure_finalized()
        return self._final_module


class _WholeLibrary(_Library):
    """Takes in all parts, and the parts of parts, once each, and optimises what has come together."""

    wide = False

    def finalize(self) -> None:
        self._linking_libraries = list(dict.fromkeys(_taken_in(self)))
        super().finalize()

    def _optimize_final_module(self) -> None:
        builder = llvm.create_pass_builder(self._codegen._tm, _tuned(wide=self.wide))
        passes = builder.getModulePassManager()
        passes.add_refprune_pass()  # For those few kernels that make arrays of their own.
        passes.run(self._final_module, builder)


class _WideLibrary(_WholeLibrary):
    """Of a kernel whose loops are done many rounds at once."""

    wide = True


def _taken_in(library: Any) -> Iterator[Any]:
    met = {library}
    waiting = list(library._linking_libraries)
    while waiting:
        one = waiting.pop()
        if one not in met:
            met.add(one)
            yield one
            if isinstance(one, _PartLibrary):
                waiting += one._linking_libraries


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerPart(NativeLowering):
    _name = "lower_part"

    def run_pass(self, state: Any) -> bool:
        _note(state)
        state.library = library = _PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        result = state.cr
        name = result.fndesc.qualname
        # Stands for the part where it is called, as a key; nobody can call it.
        key = _dynfunc.make_function(result.fndesc.lookup_module(), name, "a part", 0, result.env, (library,))
        state.targetctx.insert_user_function(key, result.fndesc, [library])
        state.cr = result._replace(cfunc=key)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerWhole(NativeLowering):
    _name = "lower_whole"
    _library: type[_WholeLibrary] = _WholeLibrary

    def run_pass(self, state: Any) -> bool:
        _note(state)
        state.library = self._library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return bool(super().run_pass(state))


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerWide(_LowerWhole):
    _name = "lower_wide"
    _library = _WideLibrary


_NEEDLESS = frozenset({
    "AnnotateTypes", "DeadBranchPrune", "DumpParforDiagnostics", "FindLiterallyCalls", "InlineClosureLikes",
    "InlineInlinables", "InlineOverloads", "LiteralPropagationSubPipelinePass", "LiteralUnroll",
    "MakeFunctionToJitFunction", "NoPythonSupportedFeatureValidation", "NopythonRewrites", "RewriteDynamicRaises",
    "RewriteSemanticConstants", "WithLifting",
})  # fmt: skip
"""Passes for what no kernel has: functions within, `with`, numbers that are types, whole arrays in one expression. A
kernel that has it does not compile."""


def _pipelines(state: Any, native: type) -> list[Any]:
    passes = compiler.DefaultPassBuilder.define_nopython_pipeline(state)
    passes.passes = [
        (native if one is NativeLowering else one, about)
        for one, about in passes.passes if one.__name__ not in _NEEDLESS
    ]  # fmt: skip
    passes._finalized = False
    passes.finalize()
    return [passes]


class _PartCompiler(compiler.CompilerBase):
    def define_pipelines(self) -> list[Any]:
        return _pipelines(self.state, _LowerPart)


class _WholeCompiler(compiler.CompilerBase):
    def define_pipelines(self) -> list[Any]:
        return _pipelines(self.state, _LowerWhole)


class _WideCompiler(compiler.CompilerBase):
    def define_pipelines(self) -> list[Any]:
        return _pipelines(self.state, _LowerWide)


def compiled_kernel(function: Any, *, wide: bool = False, **options: Any) -> Any:
    """The whole of a kernel, which Python calls; kernels that call it take in its part."""
    if vars(numba.config)["DISABLE_JIT"]:
        return function
    pipeline = _WideCompiler if wide else _WholeCompiler
    whole = njit(pipeline_class=pipeline, no_cfunc_wrapper=True, **options)(function)
    part = njit(pipeline_class=_PartCompiler, no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)(function)

    def get_call_template(args: tuple[Any, ...], kws: Mapping[str, Any]) -> Any:
        # numba would make another part for each number that stands in a call.
        return part.get_call_template(
            tuple(types.unliteral(one) for one in args), {name: types.unliteral(one) for name, one in kws.items()}
        )

    whole.get_call_template, whole.get_overload = get_call_template, part.get_overload
    whole._cache = _KernelCache(function)
    compiled.kernels.append(whole)
    return whole


def entry_of(whole: Any, arguments: tuple[Any, ...]) -> Any:
    """What numba calls in the end where a kernel is called with arguments of these types, as it has been; the kernel
    itself where it has only been looked at (`ahead`)."""
    if not isinstance(whole, Dispatcher):
        return whole
    compiled_form: Any = whole.overloads.get(tuple(numba.typeof(one) for one in arguments))
    return whole if compiled_form is None else compiled_form.entry_point


# What is kept on disk.


class _KernelPlace(caching._CacheLocator):
    """Where numba's cache looks: in the folder of kernels."""

    def __init__(self, source: str) -> None:
        self._py_file = source

    @classmethod
    def from_function(cls, function: Any, source: str) -> _KernelPlace:
        del function
        return cls(source)

    def get_cache_path(self) -> str:
        return ""

    def get_source_stamp(self) -> str:
        return ""

    def get_disambiguator(self) -> str:
        return Path(self._py_file).parent.name


class _KernelCacheImpl(caching.CompileResultCacheImpl):
    _locator_classes = (_KernelPlace,)


class _KernelFiles(caching.IndexDataCacheFile):
    """A file for each form of a kernel: the stamp, then the compiled code. It is there whole or not at all.

    numba's own index is written before the numbered files that it names, by whoever comes last: two processes that
    compile at once, or one that is killed between the two, can leave an index that names the code of another form.
    """

    def __init__(self, folder: str, kernel_name: str, kernel_stamp: str) -> None:
        super().__init__(folder, kernel_name, kernel_stamp)
        self._kernel_name, self._stamp = kernel_name, kernel_stamp.encode()

    def save(self, key: Any, data: Any) -> None:
        path = self._path(key)
        with self._open_for_write(path) as file:
            file.write(self._stamp + self._dump(data))
        os.chmod(path, _OWN_FILE)

    def load(self, key: Any) -> Any:
        """The code of a form, None if there is none of this kernel. A file that others can have written is removed."""
        path = Path(self._path(key))
        if fault := fault_of_file(path):
            _tell_refused(fault)
            path.unlink()
            return None
        content = path.read_bytes()
        return caching.pickle.loads(content[len(self._stamp) :]) if content.startswith(self._stamp) else None

    def any_kept(self) -> bool:
        """Whether some form of the kernel as it is now is there."""
        paths = Path(self._cache_path).glob(f"{self._kernel_name}.*.nbc")
        return any(_begins_with(path, self._stamp) for path in paths)

    def _path(self, key: Any) -> str:
        form = hashlib.blake2b(repr((self._version, key)).encode(), digest_size=8).hexdigest()
        return str(Path(self._cache_path) / f"{self._kernel_name}.{form}.nbc")


def _begins_with(path: Path, start: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(start)) == start
    except OSError:
        return False


class _KernelCache(caching.Cache):
    """numba's cache of one function, but found late: at the first call all that the kernel takes in is defined.

    A folder that cannot be read or written costs the time to compile, and nothing else.
    """

    _impl_class = _KernelCacheImpl

    def __init__(self, function: Any) -> None:
        self._function = function
        self._found = False
        super().__init__(function)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        compiled.wholes.append(self._function.__qualname__)
        compiled.on_whole()
        self._find()
        try:
            return super().load_overload(sig, target_context)
        except (OSError, EOFError, caching.pickle.UnpicklingError):
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            with keeping:
                super().save_overload(sig, data)
        except OSError as error:
            self.disable()
            _tell_unkept(error.strerror or "the disk did not take them")

    def _save_overload(self, sig: Any, data: Any) -> None:
        if self._enabled and self._impl.check_cachable(data):
            key = self._index_key(sig, data.codegen)
            self._cache_file.save(key, self._impl.reduce(data))

    def _find(self) -> None:
        if self._found:
            return
        self._found = True
        folder = _folder()
        if folder is None:
            self.disable()
            return
        self._cache_file = _KernelFiles(str(folder), self._impl.filename_base, stamp(self._function))

    def can_be_kept(self) -> bool:
        """Whether the kernel is to be compiled, and others could find it then."""
        self._find()
        folder = _folder()
        return folder is not None and can_keep(folder) and not self._cache_file.any_kept()


@cache
def _folder() -> Path | None:
    """Where this process keeps kernels, made if need be."""
    folder = kernel_folder(kernel_places())
    if folder is None:
        _tell_unkept("nowhere to write")
    elif can_keep(folder):
        with contextlib.suppress(OSError):  # The first file says so.
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=_OWN_FOLDER, exist_ok=True)
    return folder


@cache
def _tell_unkept(reason: str) -> None:
    reports.warning(
        "compiled kernels cannot be kept, so every start compiles them anew: "
        "set NUMBA_CACHE_DIR to a folder that can be written", extra={"reason": reason},
    )  # fmt: skip


def is_missing(kernel: Any) -> bool:
    """Whether this kernel lies in no folder, but could: compiled by one process it is there for all."""
    return isinstance(kernel, Dispatcher) and bool(vars(kernel)["_cache"].can_be_kept())


@cache
def _tell_refused(fault: str) -> None:
    reports.warning("compiled kernels are not loaded from where others can write", extra={"reason": fault})


def kernel_folder(places: Sequence[Path]) -> Path | None:
    """Where kernels are kept: the first of these that can be written, else that can be read; None if there is none.
    One that others can write to is none. Makes nothing."""
    folders = []
    for folder in (place / "kernels" for place in places):
        fault = fault_of_folder(folder)
        if not fault:
            folders.append(folder)
        elif folder.is_dir():
            _tell_refused(fault)
    readable = (folder for folder in folders if folder.is_dir() and os.access(folder, os.R_OK | os.X_OK))
    return next((folder for folder in folders if can_keep(folder)), next(readable, None))


def kernel_places() -> list[Path]:
    """Where kernels may be kept, best first: as told, else with the package, else in the user's own cache."""
    told = os.environ.get("NUMBA_CACHE_DIR")
    if told:
        return [Path(told)]
    places = [_PACKAGE / "__pycache__"]
    own = os.environ.get("XDG_CACHE_HOME")
    with contextlib.suppress(RuntimeError):  # Nobody knows this user, who has no folder then.
        places.append((Path(own) if own else Path.home() / ".cache") / "instanter")
    return places


def can_keep(folder: Path) -> bool:
    """Whether files can be made in a folder, which need not be there yet. Makes nothing."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError:
        return False


def stamp(function: FunctionType) -> str:
    """A name for all that decides what a kernel compiles to: its code, the constants and kernels that it names, and
    theirs, this file and `lowering`. What it says of itself, or where in its file it stands, changes nothing."""
    digest = hashlib.blake2b(_ways_of_compiling(), digest_size=16)
    met: set[str] = set()
    waiting = [function]
    while waiting:
        one = waiting.pop()
        name = f"{one.__module__}.{one.__qualname__}"
        if name in met:
            continue
        met.add(name)
        digest.update(f"\n{name}{one.__defaults__}".encode())
        for text in _content(one.__code__):
            digest.update(text)
        for global_name in sorted(_names(one.__code__)):
            if global_name in one.__globals__:
                known = one.__globals__[global_name]
                digest.update(f"\n{global_name}={_told(known)}".encode())
                if isinstance(known, Dispatcher):
                    waiting.append(known.py_func)
    return digest.hexdigest()


@cache
def _ways_of_compiling() -> bytes:
    return b"".join(Path(str(file)).read_bytes() for file in (__file__, lowering.__file__))


def _content(code: CodeType) -> Iterator[bytes]:
    yield code.co_code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _content(constant)
        elif not isinstance(constant, str):  # The docstring: kernels work on numbers alone.
            yield repr(constant).encode()
    yield repr((code.co_names, code.co_varnames, code.co_exceptiontable)).encode()


def _names(code: CodeType) -> set[str]:
    """Names that a function looks up, those of its inner functions with them."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*(_names(one) for one in inner))


def _told(known: object) -> str:
    """A global, as far as it decides what compiles: a kernel by name, its content follows; a constant by value."""
    if isinstance(known, Dispatcher):
        return f"kernel {known.py_func.__module__}.{known.py_func.__qualname__}"
    if isinstance(known, ModuleType):
        return f"module {known.__name__}"
    if isinstance(known, type):
        return f"type {known.__module__}.{known.__qualname__}{getattr(known, '_fields', ())}"
    if isinstance(known, FunctionType | BuiltinFunctionType):
        return f"function {known.__module__}.{known.__qualname__}"
    return repr(known)
