/*-------------------------------------------------------------------------
 * ask.h
 *	  What a call will ask for: evaluating it ahead, and starting its request.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_ASK_H
#define OSS_ASK_H

#include "pipeline/window.h"

/*
 * Start a call's request if possible, and set its state.  is_turn: the call is being
 * made.  evaluate: its arguments are not known yet; the row is in the window's econtext.
 * Returns false after an error.
 */
extern bool oss_window_ask(PipelineWindow *window, CallSite *site, PipelineCall *call,
						   bool evaluate, bool is_turn);

/* Leave the flight of somebody else. */
extern void oss_window_leave_flight(PipelineCall *call);

#endif							/* OSS_ASK_H */
