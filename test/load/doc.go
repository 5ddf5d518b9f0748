// Command load measures what Keystile costs, beside what it is compared with,
// in one run:
//
//	go run ./test/load              a few seconds for each subject
//	go run ./test/load -o json      the same for machines
//	go run ./test/load -huge        ten million keys as well; minutes and gigabytes
//	go run ./test/load -only purge  a million temporary keys that end at once
//	go run ./test/load -only tokens the same with access tokens
//
// What is compared runs in turns, in processes of its own, and the CPU of each
// server process is read from the kernel:
//
//	load ──requests──> bare handler          load ──> ReverseProxy ─┐
//	  └──────────────> keystile /forward-auth  └────> keystile ─────┴──> upstream
//
// The figures that last are the ratios: microseconds are one machine's. It is
// a program and not a test: nothing here fails because a machine is slow.
package main
