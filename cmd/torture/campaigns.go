package main

import "github.com/pmledger/pmledger/eventstore/planted"

// campaign is a test that reports what it counted.
type campaign struct {
	name    string // as in the reports of the test
	folder  string // of its package
	test    string
	minutes int // that its long size may take on a slow machine
}

// theCampaigns in the order of the page.
var theCampaigns = []campaign{
	{"power loss", "eventstore/disk", "TestPowerLossKeepsWhatWasAcknowledged", 90},
	{"kill at every file operation", "eventstore/disk", "TestKillAtEveryOperationKeepsWhatWasAcknowledged", 45},
	{"errors of the disk", "eventstore/disk", "TestNothingIsAcknowledgedAfterAnErrorOfTheDisk", 45},
	{"flipped bytes of the log", "eventstore/disk", "TestOneChangedByteIsNeverServed", 90},
	{"faults of a cluster", "eventstore/kurrent", "TestNoTroubleLosesOrDoublesAnything", 10},
	{"a store that goes away", "eventstore/kurrent", "TestTheServerGoesAwayAndComesBack", 5},
	{"simulation", "projections/simulation", "TestTheInvariantsHoldWhateverFails", 90},
	{"flipped bytes of the views", "projections", "TestAFlippedByteIsNeverAWrongAnswer", 60},
	{"flipped bytes of NATS files", "projections/publisher", "TestAFlippedByteOfNATSIsMendedOrTold", 90},
	{"killed publishers", "projections/publisher", "TestKilledProcessesLoseAndRepeatNothing", 10},
	{"NATS cluster", "projections/publisher", "TestKilledServersOfAClusterLoseAndRepeatNothing", 90},
	{"linearizable histories under kills", "cmd/pmledger", "TestTortureHistoriesAreLinearizable", 90},
	{"kill at random system calls", "cmd/pmledger", "TestTortureKillAtRandomSystemCalls", 45},
	{"kill -9 of the server", "cmd/pmledger", "TestTortureNothingAcknowledgedIsLost", 45},
	{"kill -9 between steps at a gateway", "cmd/pmledger", "TestTortureWorkAtTheGatewayEndsOnce", 10},
	{"kill -9 of an import", "cmd/pmledger", "TestTortureAnImportIsKilled", 10},
	{"three replicas", "cmd/pmledger", "TestTortureReplicasAreOneLedger", 10},
	{"the cluster away", "cmd/pmledger", "TestTheStoreMayBeAwayForAWhile", 10},
	{"cross-tenant probes", "api", "TestForeignThingsAnswerAsThoseThatDoNotExist", 10},
	{"hostile bodies", "api", "TestHostileBodiesLeaveNothingBehind", 60},
	{"raw sockets", "cmd/pmledger", "TestRawSocketsHideNoRequest", 5},
	{"one key, many hands", "api", "TestOneKeyInManyHandsHasOneEffect", 45},
	{"changes with If-Match", "api", "TestNobodysChangeIsLost", 10},
	{"one customer is linearizable", "api", "TestOneCustomerIsLinearizable", 60},
}

// trap is a planted bug with the campaign that must notice it.
type trap struct {
	bug planted.Bug
	by  string // name of a campaign
}

// theTraps are all planted bugs; a test compares them with package planted.
var theTraps = []trap{
	{planted.SkipSync, "power loss"},
	{planted.SplitAppend, "power loss"},
	{planted.MarkerFirst, "power loss"},
	{planted.FloorUnsynced, "power loss"},
	{planted.SkipExpectedVersion, "kill at every file operation"},
	{planted.RepeatByVersion, "kill at every file operation"},
	{planted.RetrySync, "errors of the disk"},
	{planted.SkipGate, "errors of the disk"},
	{planted.SkipScan, "flipped bytes of the log"},
	{planted.IgnoreFloor, "flipped bytes of the log"},
	{planted.DecideAgain, "simulation"},
	{planted.SkipConfirm, "simulation"},
	{planted.TimeGoesBack, "simulation"},
	{planted.FollowFromHead, "faults of a cluster"},
	{planted.SkipWait, "linearizable histories under kills"},
	{planted.DetachLater, "linearizable histories under kills"},
	{planted.OwnHead, "three replicas"},
	{planted.SkipUnknown, "simulation"},
	{planted.CheckpointFirst, "simulation"},
	{planted.FreshGatewayKey, "simulation"},
	{planted.ForgetUnanswered, "simulation"},
	{planted.MachineTime, "simulation"},
	{planted.DamageIsNothing, "flipped bytes of the views"},
	{planted.PassOverGaps, "flipped bytes of NATS files"},
	{planted.WindowOnly, "simulation"},
	{planted.RemembersItsPlace, "simulation"},
	{planted.AnyonesIntent, "cross-tenant probes"},
	{planted.AnyonesID, "cross-tenant probes"},
	{planted.AnyonesCursor, "cross-tenant probes"},
	{planted.ReadUnscoped, "cross-tenant probes"},
	{planted.UnscreenedNames, "hostile bodies"},
	{planted.ShownValue, "hostile bodies"},
	{planted.ConnectionIsKept, "raw sockets"},
	{planted.KeyAlone, "one key, many hands"},
	{planted.IgnoredIfMatch, "changes with If-Match"},
	{planted.FoldFirst, "one customer is linearizable"},
}
