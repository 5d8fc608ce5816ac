# After cli.cmake, which defines cess_script.
cess_script(fs_semantics 900 fs_semantics.sh)
cess_script(fs_work 1800 fs_work.sh)
