# The tables of the report, rows of the summaries of ft-eval: TABLE says which.

def cell: if . then {value, n, low, high} else null end;
def round3: . * 1000 | round / 1000;
def said: if . then "\(.value | round3) (\(.low | round3) – \(.high | round3), n \(.n))"
          else "no such pairs" end;

# The control's better one of its two ways.
def best_control:
  if .["control.bpb"].bpb.value <= .["control_alone.bpb"].bpb.value
  then "control" else "control_alone" end;

def bpb_rows:
  . as $s
  | ["base", "base"], ["control", "control, after the prompt"],
    ["control_alone", "control, without it"], ["sft", "SFT"], ["dpo", "DPO"]
  | $s["\(.[0]).bpb"] as $m
  | {
      model: .[1],
      "all held out": ($m.bpb | cell),
      "apps trained on": ($m.by.part.heldout.bpb | cell),
      "the new app": ($m.by.part.newapp.bpb | cell)
    };

def less_rows:
  . as $s
  | ["base", "SFT less base"], ["control", "SFT less control after the prompt"],
    ["control_alone", "SFT less control without it"]
  | $s["sft_less_\(.[0]).bpb"] as $m
  | {
      difference: .[1],
      "all held out": ($m.bpb | cell),
      "apps trained on": ($m.by.part.heldout.bpb | cell),
      "the new app": ($m.by.part.newapp.bpb | cell)
    };

def preference_row($kind; $dpo; $base; $wrong):
  {
    pairs: $kind,
    n: $dpo.preference.n,
    DPO: ($dpo.preference | cell),
    "shorter wins": $base.shorter_wins.value,
    "higher base log-prob wins": $base.preference.value,
    "DPO where that errs": ($wrong.preference | cell)
  };

def preference_rows:
  .preference_pairs as $d | .preference_base as $b | .preference_wrong as $w
  | preference_row("all"; $d; $b; $w),
    ($d.by.pair_kind | keys[] | . as $k
     | preference_row($k; $d.by.pair_kind[$k]; $b.by.pair_kind[$k];
                      $w.by.pair_kind[$k]));

def winrate_rows:
  . as $s
  | ["base", "base"], ["sft", "SFT"]
  | $s["dpo_over_\(.[0])"] as $m
  | {
      over: .[1],
      "win rate (ties ½)": ($m.winrate | cell),
      "of about the same length": ($m.winrate_same_length | cell),
      "the new app": ($m.by.part.newapp.winrate | cell),
      ties: $m.ties.value,
      "first shown wins": $m.first_wins.value
    };

def reward_rows:
  . as $s
  | ["base", "base"], ["sft", "SFT"], ["dpo", "DPO"]
  | $s["\(.[0]).reward"] as $m
  | {
      model: .[1],
      "all held out": ($m.accuracy | cell),
      "apps trained on": ($m.by.part.heldout.accuracy | cell),
      "the new app": ($m.by.part.newapp.accuracy | cell)
    };

# Mean over the last ten of the first hundred steps.
def dpo_loss:
  .dpo_loss | map(select(.step <= 100)) | .[-10:] | map(.loss) | add / length;

def goal($text; $measured; $met): {goal: $text, measured: $measured, met: $met};
def goal_rows:
  (best_control) as $c
  | .["sft.bpb"] as $sft | .["\($c).bpb"] as $control | .["base.bpb"] as $base
  | .["sft_less_\($c).bpb"] as $less
  | .preference_pairs.preference as $p | .preference_wrong as $wrong
  | .dpo_over_base as $wb | .dpo_over_sft as $ws
  | goal("bits per byte: SFT below control below base";
         "\($sft.bpb.value | round3) < \($control.bpb.value | round3) < \($base.bpb.value | round3)";
         $sft.bpb.value < $control.bpb.value and $control.bpb.value < $base.bpb.value),
    goal("SFT less control below 0 by the interval"; $less.bpb | said;
         $less.bpb.high < 0),
    goal("the same in the new app"; $less.by.part.newapp.bpb | said;
         $less.by.part.newapp.bpb.value < 0),
    goal("DPO loss at most half of its start within 100 steps";
         "\(.dpo_loss[0].loss | round3) to \(dpo_loss | round3)";
         dpo_loss <= .dpo_loss[0].loss / 2),
    goal("preference accuracy 0.8 or more"; $p | said; $p.value >= 0.8),
    goal("above chance where the base's log-probabilities err, 100 pairs or more";
         $wrong.preference | said;
         ($wrong.preference.low // 0) > 0.5 and ($wrong.preference.n // 0) >= 100),
    goal("win rate over the base above 0.7"; $wb.winrate | said;
         $wb.winrate.value > 0.7 and $wb.winrate.n >= 100),
    goal("win rate over SFT above 0.5 by the interval"; $ws.winrate | said;
         $ws.winrate.low > 0.5),
    goal("the same among answers of about the same length";
         $ws.winrate_same_length | said;
         ($ws.winrate_same_length.value // 0) > 0.5);

$ENV.TABLE as $table
| if $table == "bpb" then bpb_rows
  elif $table == "less" then less_rows
  elif $table == "preference" then preference_rows
  elif $table == "winrate" then winrate_rows
  elif $table == "reward" then reward_rows
  else goal_rows end
