cess_test(unit/base_test core_base)
cess_test(unit/wire_test core_wire)
cess_test(unit/kv_test core_kv)
