cess_test(unit/tree_test chain_ledger)
