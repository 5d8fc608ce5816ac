cess_fuzz(fuzz/chain_fuzz chain_ledger)
