// Manners of the SentencePiece library.
#pragma once

namespace evengrad {

/// Turns off what the library prints to standard error, its last words before it ends the process
/// excepted. Cheap to repeat; several threads may.
void quiet_sentencepiece();

}  // namespace evengrad
