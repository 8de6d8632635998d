"""The stages in a row, as commands that can be stopped and started again.

What is done is read off the files: a final checkpoint, labels for every image, a result that is newer than what it was
made from. Each step is a call of one of the public tools, printed before it runs.

======================  =================================================================================
:mod:`.step`            One command, and how to tell that it need not run. Needs no mm*
:mod:`.stages`          The steps of a training from boxes
:mod:`.plan`            All of them for one config: ``tools/pipeline.py``
:mod:`.rounds`          The same several times, each model making the labels of the next
:mod:`.reproduction`    Those of every row of the paper's tables: ``scripts/reproduce.sh``
:mod:`.demo`            All of them on generated images, several at once: ``tools/demo.py``
:mod:`.ablation_plan`   What is compared over several seeds: ``tools/analysis/ablations.py``
:mod:`.seed_runs`       What one of these seeds runs
:mod:`.work_dirs`       The figures that they leave in work directories
======================  =================================================================================
"""
