// Which passes a cell takes, as in kernels/table.h for the CPU.
#pragma once

#include "api/cell.h"
#include "cells/gru.h"
#include "cells/lstm.h"
#include "cells/peephole_lstm.h"
#include "cells/projected_lstm.h"
#include "cells/simple_rnn.h"

namespace rnnpack::cuda {

constexpr std::size_t passes_of(cell_kind kind) {
  return kind == cell_kind::gru_reset_before || kind == cell_kind::projected_lstm ? 2 : 1;
}

template <class Work>
decltype(auto) with_pass(cell_kind kind, std::size_t pass, Work work) {
  switch (kind) {
    case cell_kind::lstm: return work.template operator()<cells::lstm>();
    case cell_kind::gru: return work.template operator()<cells::gru>();
    case cell_kind::gru_reset_before:
      return pass == 0 ? work.template operator()<cells::gru_reset_before_gates>()
                       : work.template operator()<cells::gru_reset_before_candidate>();
    case cell_kind::peephole_lstm: return work.template operator()<cells::peephole_lstm>();
    case cell_kind::projected_lstm:
      return pass == 0 ? work.template operator()<cells::projected_lstm_gates>()
                       : work.template operator()<cells::projected_lstm_output>();
    case cell_kind::simple_rnn: break;
  }
  return work.template operator()<cells::simple_rnn>();
}

}  // namespace rnnpack::cuda
