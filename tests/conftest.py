"""Eight virtual CPU devices and a compilation cache for the whole suite."""

import pathlib

import jax

# Both must be set before the first use of a device.
jax.config.update("jax_num_cpu_devices", 8)
_CACHE = pathlib.Path("~/.cache/jaxrobust-tests").expanduser()
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
