cess_test(unit/tree_test chain_ledger)
cess_test(unit/proof_test chain_ledger)
cess_test(unit/ledger_test chain_ledger)
cess_test(unit/ledger_model_test chain_ledger)
