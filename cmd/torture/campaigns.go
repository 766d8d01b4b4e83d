package main

import "github.com/pmledger/pmledger/eventstore/planted"

// campaign is a test that reports what it counted.
type campaign struct {
	name    string // as in the reports of the test
	folder  string // of its package
	test    string
	minutes int // that its long size may take
}

// theCampaigns in the order of the page.
var theCampaigns = []campaign{
	{"power loss", "eventstore/disk", "TestPowerLossKeepsWhatWasAcknowledged", 30},
}

// trap is a planted bug with the campaign that must notice it.
type trap struct {
	bug planted.Bug
	by  string // name of a campaign
}

// theTraps are all planted bugs; a test compares them with package planted.
var theTraps = []trap{}
