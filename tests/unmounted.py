"""A worktree of the user's on a disk that is not mounted, with work that git has nowhere else."""

import subprocess

GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org")


def git(folder, *arguments):
    done = subprocess.run([*GIT, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Unmounted:
    """Made by `git worktree add`, then its folder is moved away, until `is_as_it_was`."""

    def __init__(self, root, tmp_path):
        self.place, self.away = tmp_path / "disk" / "mine", tmp_path / "unplugged"
        git(root, "worktree", "add", "-q", "--detach", str(self.place), "HEAD")
        (self.place / "mine.txt").write_text("committed on no branch")
        git(self.place, "add", "mine.txt")
        git(self.place, "commit", "-qm", "mine")
        (self.place / "staged.txt").write_text("staged")
        git(self.place, "add", "staged.txt")
        self.commit = git(self.place, "rev-parse", "HEAD")
        self.place.parent.rename(self.away)

    def is_as_it_was(self):
        self.away.rename(self.place.parent)
        assert git(self.place, "rev-parse", "HEAD") == self.commit
        assert git(self.place, "status", "--porcelain") == "A  staged.txt"
        # git itself reaches the commit by this worktree's HEAD.
        assert self.commit not in git(self.place, "fsck", "--unreachable", "--no-reflogs")
