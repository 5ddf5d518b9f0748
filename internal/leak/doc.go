// Package leak is the desk where keys that were found in the open are reported:
//
//	POST /v1/keys/leaked ──> Desk.Take ──> queue ──> manage.ReportLeak ──> audit event, policy
//	  anybody, no token       bounded       paced                     └──> mail to administrators
//
// Anybody may report, so nothing that a report does shows in its answer or in its
// time: reports are queued and answered before they are looked at. What waits is
// bounded in all and for each address, and look-ups are paced, so that a flood of
// made-up keys costs the store little. A report that was taken is kept while the
// store is away, and when the server drains.
//
// What is done about a leaked key is in package manage; who is told, here.
package leak
