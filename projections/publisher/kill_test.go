package publisher

const victimDir = "PMLEDGER_TEST_VICTIM_DIR"

func victim(string) {}
