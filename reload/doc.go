// Package reload follows configuration files that an operator may exchange while
// the program runs. It is told of changes by the kernel (inotify on the folder,
// since editors and mounted volumes replace files instead of writing them), and
// looks at the file itself now and then in case that something was missed.
//
// What is read is offered only when it differs from what was read before. What
// does not load is logged, and what was loaded before stays in force: a typing
// error in a file must not take a running server down.
package reload
